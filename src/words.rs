//! Another server's words, cut down to what a log and a record may hold. Pure.

/// The longest text kept of another server's words, in characters: a sentence or two.
pub const WORDS_LENGTH: usize = 200;

/// Longer words are left out, in characters. Identifiers have 36; what is longer is a token, a piece of one, or a URL
/// that may carry one.
const WORD_LENGTH: usize = 48;

/// One line of another server's words, at most [`WORDS_LENGTH`] characters, without the secrets, e-mail addresses and
/// overlong words that it may hold.
pub(crate) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "[...]");
    }
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let safe = words.map(|word| {
        let unsafe_word = word.contains('@') || word.chars().count() > WORD_LENGTH;
        if unsafe_word { "[...]" } else { word }
    });
    safe.collect::<Vec<_>>().join(" ").chars().take(WORDS_LENGTH).collect()
}
