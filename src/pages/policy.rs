//! What a browser may do with a page: next to nothing, and nothing that the page does not need.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::web::Reply;

/// The content security policies of all pages, their hashes computed once.
pub(super) struct Policy {
    nothing: String,
    form: String,
    script: String,
}

/// What a page may do besides looking as it should.
#[derive(Clone, Copy)]
pub(super) enum Grant {
    /// Nothing more.
    Nothing,
    /// Post its form to us.
    Form,
    /// Run its script, which asks us for the state.
    Script,
}

impl Policy {
    /// `style` and `script` are the exact texts between the tags: browsers hash what they find there.
    pub(super) fn new(style: &str, script: &str) -> Self {
        let style = hash(style);
        let with = |grants: &str| {
            format!("default-src 'none'; style-src '{style}'; {grants}; base-uri 'none'; frame-ancestors 'none'")
        };
        Self {
            nothing: with("form-action 'none'"),
            form: with("form-action 'self'"),
            script: with(&format!("script-src '{}'; connect-src 'self'; form-action 'none'", hash(script))),
        }
    }

    /// The same answer with the headers that every page has.
    pub(super) fn protect(&self, reply: Reply, grant: Grant) -> Reply {
        let policy = match grant {
            Grant::Nothing => &self.nothing,
            Grant::Form => &self.form,
            Grant::Script => &self.script,
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

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}
