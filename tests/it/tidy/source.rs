//! A Rust source file, read just well enough for tidiness: tokens with their lines, paths, functions, constants.
//!
//! Comments and the insides of literals are not tokens, so that prose about a crate is not an import of it.

use std::collections::BTreeSet;
use std::path::Path;

/// One source file.
pub(crate) struct Source {
    /// From the project's folder, with slashes: `src/store/azure.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

/// A word, a literal (whose text is left out), or one character of punctuation.
#[derive(Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    last_line: usize,
}

/// A path as written in a `use` line or inline, with groups taken apart.
#[derive(Debug, PartialEq)]
pub(crate) enum Mention {
    /// Below our crate's root: `["store", "Store"]`.
    Ours(Vec<String>),
    /// The first segment of any other path, which for an import is the crate.
    Foreign(String),
}

/// A function with its length in lines of code, from `fn` to the closing brace.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) length: usize,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        Self { tokens: Lexer::tokens(&text), path, text }
    }

    /// Every `.rs` file below `folder` of `root`, sorted.
    pub(crate) fn tree(root: &Path, folder: &str) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a readable folder") {
                let path = entry.expect("a readable entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                    sources.push(Self::new(name, std::fs::read_to_string(&path).expect("a readable file")));
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    /// The module that this file is: `["store", "azure"]`; empty for the crate's root and for `main.rs`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        module
    }

    /// The file's top-level module, with which all directions are stated; empty for the crate's root and `main.rs`.
    pub(crate) fn top(&self) -> String {
        self.module().into_iter().next().unwrap_or_default()
    }

    /// The numbers of the lines that hold code.
    pub(crate) fn code_lines(&self) -> BTreeSet<usize> {
        self.tokens.iter().flat_map(|token| token.line..=token.last_line).collect()
    }

    /// Whether the tokens from `at` on read as `words`.
    pub(crate) fn reads(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.len() >= at + words.len()
            && words.iter().zip(&self.tokens[at..]).all(|(word, token)| token.is(word))
    }

    /// The lines at which the tokens read as `words`.
    pub(crate) fn lines_with(&self, words: &[&str]) -> Vec<usize> {
        (0..self.tokens.len()).filter(|at| self.reads(*at, words)).map(|at| self.tokens[at].line).collect()
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code = self.code_lines();
        let starts = (0..self.tokens.len()).filter(|at| self.tokens[*at].is("fn"));
        let functions = starts.filter_map(|at| {
            let name = self.tokens.get(at + 1).filter(|token| token.is_word())?;
            let open = self.find_outside_brackets(at, &["{", ";"])?;
            let close = self.tokens[open].is("{").then(|| self.closing(open))??;
            let length = code.range(self.tokens[at].line..=self.tokens[close].line).count();
            Some(Function { name: name.text.clone(), line: self.tokens[at].line, length })
        });
        functions.collect()
    }

    /// Every path, with the line of its last segment.
    pub(crate) fn mentions(&self) -> Vec<(usize, Mention)> {
        let mut reader = Reader { source: self, module: self.module(), found: Vec::new() };
        reader.read();
        reader.found
    }

    /// The first of `wanted` from `at` on that is in no parenthesis or bracket opened since.
    pub(crate) fn find_outside_brackets(&self, at: usize, wanted: &[&str]) -> Option<usize> {
        let mut depth = 0_i32;
        (at..self.tokens.len()).find(|at| {
            let text = self.tokens[*at].text.as_str();
            depth += i32::from(text == "(" || text == "[") - i32::from(text == ")" || text == "]");
            depth == 0 && wanted.contains(&text)
        })
    }

    /// The brace that closes the one at `open`.
    pub(crate) fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_i32;
        (open..self.tokens.len()).find(|at| {
            depth += i32::from(self.tokens[*at].is("{")) - i32::from(self.tokens[*at].is("}"));
            depth == 0
        })
    }
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_word(&self) -> bool {
        self.text.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
    }
}

/// Finds paths among the tokens.
struct Reader<'a> {
    source: &'a Source,
    /// Where the reading is: the file's module, and inline modules inside it.
    module: Vec<String>,
    found: Vec<(usize, Mention)>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let mut closing_of_modules = Vec::new();
        let mut at = 0;
        while at < self.source.tokens.len() {
            if closing_of_modules.last() == Some(&at) {
                closing_of_modules.pop();
                self.module.pop();
            }
            if self.is("mod", at) && self.is("{", at + 2) {
                closing_of_modules.extend(self.source.closing(at + 2));
                self.module.push(self.source.tokens[at + 1].text.clone());
                at += 3;
            } else {
                at = self.path(at);
            }
        }
    }

    fn is(&self, text: &str, at: usize) -> bool {
        self.source.tokens.get(at).is_some_and(|token| token.is(text))
    }

    fn is_joint(&self, at: usize) -> bool {
        self.is(":", at) && self.is(":", at + 1)
    }

    /// Reads the path that begins at `at`, if one does; answers where to go on.
    fn path(&mut self, at: usize) -> usize {
        let is_field = at > 0 && self.is(".", at - 1) && !(at > 1 && self.is(".", at - 2));
        let imports = at > 0 && (self.is("use", at - 1) || (at > 1 && self.reads_extern_crate(at)));
        if imports && self.is("{", at) {
            return self.group(at, &[]);
        }
        let start = if self.is_joint(at) { at + 2 } else { at };
        if is_field || !self.source.tokens.get(start).is_some_and(Token::is_word) {
            return at + 1;
        }
        self.segments(start, Vec::new(), imports)
    }

    fn reads_extern_crate(&self, at: usize) -> bool {
        self.is("crate", at - 1) && self.is("extern", at - 2)
    }

    fn segments(&mut self, mut at: usize, mut path: Vec<String>, alone_counts: bool) -> usize {
        path.push(self.source.tokens[at].text.clone());
        at += 1;
        while self.is_joint(at) {
            if self.is("{", at + 2) {
                return self.group(at + 2, &path);
            }
            let Some(next) = self.source.tokens.get(at + 2).filter(|token| token.is_word() || token.is("*")) else {
                break;
            };
            path.push(next.text.clone());
            at += 3;
        }
        if alone_counts || path.len() > 1 {
            self.found.extend(self.mention(&path).map(|mention| (self.source.tokens[at - 1].line, mention)));
        }
        at
    }

    /// Reads `{a::b, c as d, ...}` after `prefix`; answers where to go on after its brace.
    fn group(&mut self, open: usize, prefix: &[String]) -> usize {
        let mut at = open + 1;
        while at < self.source.tokens.len() && !self.is("}", at) {
            if self.is("as", at) {
                at += 2;
            } else if self.source.tokens[at].is_word() || self.is("*", at) {
                at = self.segments(at, prefix.to_vec(), true);
            } else {
                at += 1;
            }
        }
        at + 1
    }

    fn mention(&self, path: &[String]) -> Option<Mention> {
        let mut base = match path[0].as_str() {
            "Self" => return None,
            "crate" | "marketplace_fulfillment" => Vec::new(),
            "self" | "super" => self.module.clone(),
            foreign => return Some(Mention::Foreign(foreign.to_owned())),
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "marketplace_fulfillment" | "self" => {}
                "super" => drop(base.pop()),
                segment => base.push(segment.to_owned()),
            }
        }
        Some(Mention::Ours(base))
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn tokens(text: &'a str) -> Vec<Token> {
        let mut lexer = Self { rest: text, line: 1, tokens: Vec::new() };
        while let Some(first) = lexer.rest.chars().next() {
            lexer.step(first);
        }
        lexer.tokens
    }

    fn step(&mut self, first: char) {
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(comment_length(self.rest));
        } else if let Some(length) = literal_length(self.rest) {
            self.take(length, "\"");
        } else if first == '\'' {
            // A lifetime says nothing about tidiness.
            self.skip(1 + word_length(&self.rest[1..]));
        } else if first.is_alphanumeric() || first == '_' {
            let raw = if self.rest.starts_with("r#") { 2 } else { 0 };
            let length = raw + word_length(&self.rest[raw..]);
            self.take(length, &self.rest[raw..length]);
        } else {
            self.take(first.len_utf8(), &self.rest[..first.len_utf8()]);
        }
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }

    fn take(&mut self, length: usize, text: &str) {
        let line = self.line;
        self.skip(length);
        self.tokens.push(Token { text: text.to_owned(), line, last_line: self.line });
    }
}

fn word_length(text: &str) -> usize {
    text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len())
}

/// The length of the block comment that `text` begins with; block comments nest.
fn comment_length(text: &str) -> usize {
    let mut depth = 0_i32;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        let change = i32::from(rest.starts_with(b"/*")) - i32::from(rest.starts_with(b"*/"));
        depth += change;
        at += if change == 0 { 1 } else { 2 };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the string or character literal that `text` begins with, if it does.
fn literal_length(text: &str) -> Option<usize> {
    let unmarked = text.trim_start_matches(['b', 'c']);
    let mark = text.len() - unmarked.len();
    let raw = unmarked.strip_prefix('r').unwrap_or(unmarked);
    let open = raw.trim_start_matches('#');
    let hashes = raw.len() - open.len();
    if mark > 1 {
        None
    } else if raw.len() < unmarked.len() && open.starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = text.len() - open.len() + 1;
        Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
    } else if unmarked.starts_with('"') {
        Some(mark + quoted_length(unmarked, '"'))
    } else if unmarked.starts_with('\'') && is_character(unmarked) {
        Some(mark + quoted_length(unmarked, '\''))
    } else {
        None
    }
}

/// Whether an apostrophe begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut inside = text.chars().skip(1);
    inside.next() == Some('\\') || inside.next() == Some('\'')
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}
