//! The words of a refusal: one short line, and never what must not be repeated, whatever the other side echoes.

use marketplace_fulfillment::marketplace::refusal::Refusal;

use super::{SECRET, assert_tellable};

pub fn holds(data: &[u8]) {
    let refusal = Refusal::read(data, &[SECRET]);
    assert_tellable(&refusal.words());
    for words in [&refusal.code, &refusal.target, &refusal.message].into_iter().flatten() {
        assert!(!words.is_empty(), "an empty word is none");
        assert_tellable(words);
    }
    let locked = refusal.words().to_ascii_lowercase().contains("locked");
    assert!(!refusal.says_locked() || locked || refusal.words().chars().count() == 200, "{refusal:?}");
}
