//! The sentences, looked up by key in a Fluent file that is part of the program.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

const ENGLISH: &str = include_str!("locales/en.ftl");

/// The sentences of one language.
pub(super) struct Sentences(FluentBundle<FluentResource>);

/// How long a subscription runs before it renews.
pub(super) enum TermUnit {
    Months(u32),
    Years(u32),
    /// Microsoft's set is open; this is shown as it came.
    Other,
}

impl Sentences {
    pub(super) fn english() -> Self {
        let language: LanguageIdentifier = "en".parse().expect("a language identifier");
        let resource = FluentResource::try_new(ENGLISH.to_owned())
            .map_err(|(_, errors)| errors)
            .expect("the file is part of the program, and every test of a page reads it");
        let mut bundle = FluentBundle::new_concurrent(vec![language]);
        // The marks around inserted values are for plain text. In a page the markup isolates values, with <bdi>.
        bundle.set_use_isolating(false);
        bundle.add_resource(resource).expect("no key is in the file twice");
        Self(bundle)
    }

    /// The sentence of `key`, which is a message or, after a dot, one of its attributes. A key that is not in the file
    /// shows itself: a page with one odd word is better than none.
    pub(super) fn say(&self, key: &str, arguments: &[(&'static str, FluentValue<'_>)]) -> String {
        let (message, attribute) = key.split_once('.').map_or((key, None), |(message, name)| (message, Some(name)));
        let pattern = self.0.get_message(message).and_then(|message| match attribute {
            Some(name) => message.get_attribute(name).map(|attribute| attribute.value()),
            None => message.value(),
        });
        let Some(pattern) = pattern else { return key.to_owned() };
        let arguments: FluentArgs<'_> = arguments.iter().cloned().collect();
        self.0.format_pattern(pattern, Some(&arguments), &mut Vec::new()).into_owned()
    }
}

/// Reads `P1M`, `P1Y`, `P3Y` and the like.
pub(super) fn term_unit(unit: &str) -> TermUnit {
    let whole = |digits: &str| -> Option<u32> {
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?.filter(|count| *count > 0)
    };
    let Some(period) = unit.trim().strip_prefix('P') else { return TermUnit::Other };
    if let Some(months) = period.strip_suffix('M').and_then(whole) {
        return TermUnit::Months(months);
    }
    period.strip_suffix('Y').and_then(whole).map_or(TermUnit::Other, TermUnit::Years)
}
