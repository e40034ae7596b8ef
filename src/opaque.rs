//! What a newer version of this program wrote into a record, and this one does not understand. Pure.

use std::fmt;

/// Stored text that is kept as it came: no rule reads it, and the next save puts it back where it was. `Debug` tells its
/// length only: it may hold anything, personal data included.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Opaque(Option<String>);

impl Opaque {
    /// Keeps a text.
    pub fn new(text: String) -> Self {
        Self(Some(text))
    }

    /// The text; `None` where everything was understood.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({} bytes)", self.0.as_ref().map_or(0, String::len))
    }
}
