//! A Bicep file, read just well enough to hold it to rules: what it declares, what it mentions, and its objects.
//!
//! The grammar is the one of `.bicep`. A parameter file differs from it in one word, which is read as another of the
//! same length, so that lines and columns stay what they are.

use std::path::Path;

use tree_sitter::{Node, Parser, Tree};

/// How the name of a parameter file ends.
const PARAMETER_FILE: &str = ".bicepparam";

/// One file.
pub(crate) struct Bicep {
    /// From the project's folder, with slashes: `infra/modules/app.bicep`.
    pub(crate) path: String,
    text: String,
    tree: Tree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Parameter,
    Variable,
    Resource,
    Module,
    Output,
    /// The value of a parameter, in a parameter file.
    Assignment,
}

/// A name that a file declares.
#[derive(Clone, Copy)]
pub(crate) struct Declaration<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// A resource's type with its version, or a module's path.
    pub(crate) detail: &'a str,
    /// A parameter without a default.
    pub(crate) is_required: bool,
    /// What stands behind the equals sign.
    pub(crate) value: Option<Node<'a>>,
}

/// A place where a name is used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) is_function: bool,
}

impl Bicep {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bicep::LANGUAGE.into()).expect("the grammar fits the parser");
        let text = if path.ends_with(PARAMETER_FILE) { with_variables_for_parameters(&text) } else { text };
        let tree = parser.parse(&text, None).expect("nothing cancels the parser");
        Self { path, text, tree }
    }

    /// Every `.bicep` and `.bicepparam` below `infra/`, sorted.
    pub(crate) fn tree(root: &Path) -> Vec<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.join("infra")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a readable folder") {
                let path = entry.expect("a readable entry").path();
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "bicep" || extension == "bicepparam") {
                    files.push(Self::new(name, std::fs::read_to_string(&path).expect("a readable file")));
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    pub(crate) fn is_parameter_file(&self) -> bool {
        self.path.ends_with(PARAMETER_FILE)
    }

    /// Another file, as this one names it.
    pub(crate) fn beside<'a>(&self, files: &'a [Self], path: &str) -> Option<&'a Self> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let wanted = parts.join("/");
        files.iter().find(|file| file.path == wanted)
    }

    /// Where the parser could not follow, with what stands there.
    pub(crate) fn syntax_errors(&self) -> Vec<(usize, String)> {
        let mut errors = Vec::new();
        visit(self.tree.root_node(), &mut |node| {
            if node.is_error() || node.is_missing() {
                errors.push((line(node), self.text_of(node).chars().take(40).collect()));
            }
        });
        errors
    }

    pub(crate) fn declarations(&self) -> Vec<Declaration<'_>> {
        let root = self.tree.root_node();
        let mut cursor = root.walk();
        root.named_children(&mut cursor).filter_map(|node| self.declaration(node)).collect()
    }

    fn declaration<'a>(&'a self, node: Node<'a>) -> Option<Declaration<'a>> {
        let kind = match node.kind() {
            "parameter_declaration" => Kind::Parameter,
            "variable_declaration" if self.is_parameter_file() => Kind::Assignment,
            "variable_declaration" => Kind::Variable,
            "resource_declaration" => Kind::Resource,
            "module_declaration" => Kind::Module,
            "output_declaration" => Kind::Output,
            _ => return None,
        };
        let mut cursor = node.walk();
        let equals = node.children(&mut cursor).find(|child| child.kind() == "=");
        let detail = match kind {
            Kind::Resource | Kind::Module => self.literal(node.named_child(1)?).unwrap_or_default(),
            _ => "",
        };
        Some(Declaration {
            kind,
            name: self.text_of(node.named_child(0)?),
            line: line(node),
            detail,
            is_required: kind == Kind::Parameter && equals.is_none(),
            value: equals.and_then(|equals| equals.next_named_sibling()),
        })
    }

    /// The file that a parameter file is for.
    pub(crate) fn using(&self) -> Option<&str> {
        let root = self.tree.root_node();
        let mut cursor = root.walk();
        let using = root.named_children(&mut cursor).find(|node| node.kind() == "using_statement")?;
        self.literal(using.named_child(0)?)
    }

    /// Every use of a name, but for the variables of loops and functions within them.
    pub(crate) fn mentions(&self) -> Vec<Mention<'_>> {
        let mut mentions = Vec::new();
        self.collect_mentions(self.tree.root_node(), &mut Vec::new(), &mut mentions);
        mentions
    }

    fn collect_mentions<'a>(&'a self, node: Node<'a>, scope: &mut Vec<&'a str>, mentions: &mut Vec<Mention<'a>>) {
        let outside = scope.len();
        let mut skipped = None;
        match node.kind() {
            "type" | "target_scope_assignment" | "using_statement" => return,
            "identifier" => {
                let name = self.text_of(node);
                if !scope.contains(&name) {
                    let is_function = node.parent().is_some_and(|parent| {
                        parent.kind() == "call_expression" && parent.child_by_field_name("function") == Some(node)
                    });
                    mentions.push(Mention { name, line: line(node), is_function });
                }
                return;
            }
            // The name of a declaration, and the key of a property.
            kind if kind.ends_with("_declaration") || kind == "object_property" => {
                skipped = node.named_child(0).filter(|child| child.kind() == "identifier");
            }
            "for_statement" => {
                skipped = node.child_by_field_name("initializer");
                scope.extend(skipped.map(|variable| self.text_of(variable)));
                visit(node.named_child(0).expect("a variable"), &mut |child| {
                    if ["loop_variable", "loop_enumerator"].contains(&child.kind()) {
                        scope.push(self.text_of(child));
                    }
                });
            }
            "lambda_expression" => {
                visit(node.named_child(0).expect("its parameters"), &mut |child| {
                    if child.kind() == "identifier" {
                        scope.push(self.text_of(child));
                    }
                });
            }
            _ => {}
        }
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor).filter(|child| Some(*child) != skipped) {
            self.collect_mentions(child, scope, mentions);
        }
        scope.truncate(outside);
    }

    /// Every `<module>.outputs.<name>`: module, output, line.
    pub(crate) fn outputs_used(&self) -> Vec<(&str, &str, usize)> {
        let mut used = Vec::new();
        visit(self.tree.root_node(), &mut |node| {
            let inner = node.child_by_field_name("object").filter(|_| node.kind() == "member_expression");
            let Some(inner) = inner.filter(|inner| inner.kind() == "member_expression") else { return };
            if self.field(inner, "property") == Some("outputs") {
                let module = self.field(inner, "object").expect("a member of something");
                used.push((module, self.field(node, "property").expect("a member"), line(node)));
            }
        });
        used
    }

    /// Every property of every object below `node`, or of the file: key, value, line. Keys that are computed are left
    /// out.
    pub(crate) fn properties<'a>(&'a self, below: Option<Node<'a>>) -> Vec<(&'a str, Node<'a>, usize)> {
        let mut properties = Vec::new();
        visit(below.unwrap_or(self.tree.root_node()), &mut |node| {
            if node.kind() == "object_property" {
                properties.extend(self.property(node));
            }
        });
        properties
    }

    fn property<'a>(&'a self, node: Node<'a>) -> Option<(&'a str, Node<'a>, usize)> {
        let (key, value) = (node.named_child(0)?, node.named_child(1)?);
        let name = if key.kind() == "string" { self.literal(key)? } else { self.text_of(key) };
        Some((name, value, line(node)))
    }

    /// The properties of one object itself.
    pub(crate) fn own_properties<'a>(&'a self, object: Node<'a>) -> Vec<(&'a str, Node<'a>, usize)> {
        let mut cursor = object.walk();
        let properties: Vec<Node<'a>> = object.named_children(&mut cursor).collect();
        let properties = properties.into_iter().filter(|child| child.kind() == "object_property");
        properties.filter_map(|property| self.property(property)).collect()
    }

    /// The text of a string without interpolation. A multi-line string begins below its quotes.
    pub(crate) fn literal(&self, node: Node<'_>) -> Option<&str> {
        let mut cursor = node.walk();
        let is_plain =
            node.kind() == "string" && node.named_children(&mut cursor).all(|child| child.kind() != "interpolation");
        let text = self.text_of(node);
        let long = text.strip_prefix("'''").and_then(|text| text.strip_suffix("'''"));
        let long = long.map(|text| text.strip_prefix('\n').unwrap_or(text));
        is_plain.then(|| long.unwrap_or_else(|| text.trim_matches('\'')))
    }

    /// The strings of an array of literals.
    pub(crate) fn literals(&self, array: Node<'_>) -> Vec<&str> {
        let mut cursor = array.walk();
        array.named_children(&mut cursor).filter_map(|item| self.literal(item)).collect()
    }

    pub(crate) fn text_of(&self, node: Node<'_>) -> &str {
        &self.text[node.byte_range()]
    }

    fn field(&self, node: Node<'_>, field: &str) -> Option<&str> {
        node.child_by_field_name(field).map(|child| self.text_of(child))
    }
}

/// The object that a declaration makes: behind `if`, or inside `for`.
pub(crate) fn object(value: Node<'_>) -> Option<Node<'_>> {
    match value.kind() {
        "object" => Some(value),
        "if_statement" => value.named_child(1),
        "for_statement" => object(value.child_by_field_name("body")?),
        _ => None,
    }
}

/// Calls `see` for a node and everything below it.
pub(crate) fn visit<'a>(node: Node<'a>, see: &mut impl FnMut(Node<'a>)) {
    see(node);
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        visit(child, see);
    }
}

fn line(node: Node<'_>) -> usize {
    node.start_position().row + 1
}

fn with_variables_for_parameters(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.map(|line| line.strip_prefix("param ").map_or(line.to_owned(), |rest| format!("var   {rest}"))).collect()
}
