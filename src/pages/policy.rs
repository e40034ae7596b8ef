//! What a browser may do with a page: next to nothing, and nothing that the page does not need.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::web::Reply;

/// The content security policies of all pages, their hashes computed once.
pub(super) struct Policy {
    nothing: String,
    form: String,
    script: String,
    style_hash: String,
    handoff_hash: String,
}

/// What a page may do besides looking as it should.
#[derive(Clone, Copy)]
pub(super) enum Grant<'a> {
    /// Nothing more.
    Nothing,
    /// Post its form to us.
    Form,
    /// Run its script, which asks us for the state.
    Script,
    /// Post its form to this origin and no other, by the script that hands over.
    Handoff(&'a Url),
}

impl Policy {
    /// `style`, `progress` and `handoff` are the exact texts between the tags: browsers hash what they find there.
    pub(super) fn new(style: &str, progress: &str, handoff: &str) -> Self {
        let style_hash = hash(style);
        Self {
            nothing: policy(&style_hash, "form-action 'none'"),
            form: policy(&style_hash, "form-action 'self'"),
            script: policy(
                &style_hash,
                &format!("script-src '{}'; connect-src 'self'; form-action 'none'", hash(progress)),
            ),
            handoff_hash: hash(handoff),
            style_hash,
        }
    }

    fn handoff(&self, address: &Url) -> String {
        let (script, origin) = (&self.handoff_hash, address.origin().ascii_serialization());
        policy(&self.style_hash, &format!("script-src '{script}'; form-action {origin}"))
    }

    /// The same answer with the headers that every page has.
    pub(super) fn protect(&self, reply: Reply, grant: Grant<'_>) -> Reply {
        let policy = match grant {
            Grant::Nothing => self.nothing.clone(),
            Grant::Form => self.form.clone(),
            Grant::Script => self.script.clone(),
            Grant::Handoff(address) => self.handoff(address),
        };
        reply
            .with("cache-control", "no-store")
            .with("content-security-policy", policy)
            .with("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()")
            .with("referrer-policy", "no-referrer")
            .with("x-content-type-options", "nosniff")
            // For browsers older than `frame-ancestors`.
            .with("x-frame-options", "DENY")
    }
}

fn policy(style_hash: &str, grants: &str) -> String {
    format!("default-src 'none'; style-src '{style_hash}'; {grants}; base-uri 'none'; frame-ancestors 'none'")
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}
