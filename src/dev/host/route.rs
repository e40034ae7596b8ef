//! Routes of HTTP functions: `orders/{id}` and `subscriptions/{*path}`, compared as ASP.NET compares them.

/// A route with its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route(Vec<Segment>);

/// Ordered by how exact it is: where two routes match, the more exact one is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// In lower case: routes ignore case.
    Literal(String),
    /// `{name}`: one segment, whatever it is.
    Parameter,
    /// `{name?}`: one segment or none; last.
    Optional,
    /// `{*name}`: the rest, also where there is none; last.
    Rest,
}

impl Route {
    /// Reads a template below `prefix`; the reason for a refusal is a sentence.
    pub(super) fn new(prefix: &str, template: &str) -> Result<Self, String> {
        let template = template.trim_matches('/');
        let first = template.split('/').next().unwrap_or_default();
        if ["admin", "runtime"].iter().any(|reserved| first.eq_ignore_ascii_case(reserved)) {
            return Err(format!("The route \"{template}\" begins with a word that the host keeps for itself."));
        }
        let parts = prefix.split('/').chain(template.split('/')).filter(|part| !part.is_empty());
        let segments = parts.map(segment).collect::<Option<Vec<_>>>().ok_or_else(|| {
            format!("The route \"{template}\" is not supported by this stand-in, which knows {{name}}, {{name?}} and {{*name}}.")
        })?;
        let before_last = segments.split_last().map_or(&[][..], |(_, before)| before);
        if before_last.iter().any(|segment| matches!(segment, Segment::Optional | Segment::Rest)) {
            return Err(format!("In the route \"{template}\" something follows what may only be last."));
        }
        Ok(Self(segments))
    }

    /// Whether a path belongs to this route. A slash at the end makes no difference.
    pub(super) fn matches(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/').filter(|_| !path.is_empty());
        for segment in &self.0 {
            let matched = match segment {
                Segment::Rest => return true,
                Segment::Optional => parts.next().is_none_or(|part| !part.is_empty()),
                Segment::Parameter => parts.next().is_some_and(|part| !part.is_empty()),
                Segment::Literal(word) => parts.next().is_some_and(|part| part.eq_ignore_ascii_case(word)),
            };
            if !matched {
                return false;
            }
        }
        parts.next().is_none()
    }

    /// Sorts the more exact of two routes first.
    pub(super) fn exactness(&self) -> impl Ord + use<> {
        self.0.clone()
    }
}

fn segment(part: &str) -> Option<Segment> {
    if !part.contains(['{', '}']) {
        return Some(Segment::Literal(part.to_ascii_lowercase()));
    }
    let inside = part.strip_prefix('{')?.strip_suffix('}')?;
    let (name, segment) =
        match (inside.strip_prefix("**").or_else(|| inside.strip_prefix('*')), inside.strip_suffix('?')) {
            (Some(name), None) => (name, Segment::Rest),
            (None, Some(name)) => (name, Segment::Optional),
            (None, None) => (inside, Segment::Parameter),
            (Some(_), Some(_)) => return None,
        };
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then_some(segment)
}
