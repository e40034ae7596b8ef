//! What a stored part holds beyond what this version understands of it: found when it is read, put back when it is
//! written.

use serde::Serialize;
use serde_json::Value;

use crate::opaque::Opaque;

/// The inner objects that live on while what is known of them changes. Any other one, such as a term or a party, is a
/// value: another value takes its place whole, and what a newer version said of the old one is not true of the new.
const PARTS: [&str; 2] = ["known", "task"];

/// What `stored` holds beyond `form`, which was read from it.
pub(super) fn of(stored: &Value, form: &impl Serialize) -> Opaque {
    match serde_json::to_value(form) {
        Ok(understood) if goes_beyond(stored, &understood) => {
            Opaque::new(Value::Array(vec![stored.clone(), understood]).to_string())
        }
        _ => Opaque::default(),
    }
}

/// Puts back what was found beyond.
pub(super) fn restore(written: &mut Value, opaque: &Opaque) {
    let pair = opaque.as_str().and_then(|text| serde_json::from_str::<[Value; 2]>(text).ok());
    if let Some([stored, understood]) = pair {
        carry(written, stored, &understood);
    }
}

fn goes_beyond(stored: &Value, understood: &Value) -> bool {
    let (Value::Object(stored), Value::Object(understood)) = (stored, understood) else {
        return false;
    };
    stored.iter().any(|(name, value)| understood.get(name).is_none_or(|known| goes_beyond(value, known)))
}

fn carry(written: &mut Value, stored: Value, understood: &Value) {
    let (Value::Object(written), Value::Object(stored), Value::Object(understood)) = (written, stored, understood)
    else {
        return;
    };
    for (name, value) in stored {
        match (written.get_mut(&name), understood.get(&name)) {
            (None, None) => {
                written.insert(name, value);
            }
            (Some(now), Some(then)) if now == then || PARTS.contains(&name.as_str()) => carry(now, value, then),
            // Understood, and changed or gone by now.
            _ => {}
        }
    }
}
