//! The pages that buyers see. Every sentence is in `pages/locales`, every tag in `pages/templates`; what is shown comes in
//! as plain values ([`Confirm`], [`Progress`], [`Delayed`], [`Refused`], [`Active`], [`Handoff`], [`Trouble`]) and goes out as a
//! [`Reply`].
//!
//! A page needs nothing but itself: style and script are part of it, and its content security policy admits exactly
//! these by their hashes. Nothing that a buyer or Microsoft names is ever markup: the templates escape every value.

mod details;
mod fault;
mod policy;
mod sentences;
mod view;

use std::sync::Arc;

use askama::Template;
use time::OffsetDateTime;
use time::macros::format_description;
use url::Url;

use self::details::{Detail, Details};
use self::policy::{Grant, Policy};
use self::sentences::Sentences;
pub use self::view::{Active, Confirm, Delayed, Handoff, Progress, Refused, Trouble};
use crate::error::Code;
use crate::settings::Publisher;
use crate::web::Reply;

/// The form field that names the subscription, in every form of every page.
pub const SUBSCRIPTION_FIELD: &str = "subscription";

/// The form field that proves that the form came from our page.
pub const FORM_TOKEN_FIELD: &str = "form_token";

/// The form field that carries a hand-off to the publisher's software.
pub const HANDOFF_FIELD: &str = "handoff";

/// The age at which a page that hands over comes anew for a fresh token, in seconds: well within the two
/// minutes for which one is good.
pub const HANDOFF_RENEWED_SECONDS: u32 = 60;

/// How often the progress page loads itself again where scripts are off, in seconds: activation mostly takes between
/// seconds and a few minutes, and every load is one read of the record.
const REFRESH_SECONDS: u32 = 5;

/// The one style of all pages, as it stands in each.
const STYLE: &str = include_str!("pages/style.css");

/// The script of the progress page, as it stands there.
const PROGRESS_SCRIPT: &str = include_str!("pages/progress.js");

/// The script of the page that hands over, as it stands there.
const HANDOFF_SCRIPT: &str = include_str!("pages/handoff.js");

/// Makes every page that a buyer can see. Cheap to clone.
#[derive(Clone)]
pub struct Pages(Arc<Inner>);

struct Inner {
    publisher: Publisher,
    sentences: Sentences,
    policy: Policy,
}

/// What the layout needs to know of a page.
struct Frame<'a> {
    pages: &'a Inner,
    title: String,
    tone: Tone,
}

/// What a page feels like: the mark beside its title.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Working,
    Good,
    Attention,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    frame: Frame<'a>,
    view: &'a Confirm,
    details: Vec<Detail>,
}

#[derive(Template)]
#[template(path = "progress.html")]
struct ProgressPage<'a> {
    frame: Frame<'a>,
    view: &'a Progress,
    details: Vec<Detail>,
}

#[derive(Template)]
#[template(path = "delayed.html")]
struct DelayedPage<'a> {
    frame: Frame<'a>,
    view: &'a Delayed,
    details: Vec<Detail>,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    frame: Frame<'a>,
    view: &'a Refused,
    details: Vec<Detail>,
}

#[derive(Template)]
#[template(path = "active.html")]
struct ActivePage<'a> {
    frame: Frame<'a>,
    view: &'a Active,
    arrived: Arrived,
    details: Vec<Detail>,
}

#[derive(Template)]
#[template(path = "handoff.html")]
struct HandoffPage<'a> {
    frame: Frame<'a>,
    view: &'a Handoff,
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage<'a> {
    frame: Frame<'a>,
    view: &'a Trouble,
    code: Code,
    text: String,
    advice: String,
    action: String,
}

/// How a buyer came to the page of an active subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrived {
    ByActivation,
    Again,
}

impl Pages {
    /// The pages of this publisher.
    pub fn new(publisher: &Publisher) -> Self {
        Self(Arc::new(Inner {
            publisher: publisher.clone(),
            sentences: Sentences::english(),
            policy: Policy::new(STYLE, PROGRESS_SCRIPT, HANDOFF_SCRIPT),
        }))
    }

    /// Shows what is bought, by whom and for whom, and asks for the confirmation with which billing begins.
    pub fn confirm(&self, view: &Confirm) -> Reply {
        let mut details = self.details();
        details
            .text("label-subscription", &view.subscription_name)
            .text("label-offer", &view.offer)
            .text("label-plan", &view.plan)
            .seats(view.seats)
            .term(view.term_unit.as_deref())
            .optional("label-buyer", view.buyer.as_deref())
            .optional("label-user", view.user.as_deref());
        let frame = self.frame("confirm-title", Tone::Plain);
        self.reply(200, Grant::Form, &ConfirmPage { frame, view, details: details.finish() })
    }

    /// Shows that the subscription is being activated, and moves on by itself.
    pub fn progress(&self, view: &Progress) -> Reply {
        let mut details = self.details();
        details
            .text("label-offer", &view.offer)
            .text("label-plan", &view.plan)
            .time("label-confirmed", view.since)
            .text("label-subscription-id", &view.subscription_id);
        let frame = self.frame("progress-title", Tone::Working);
        self.reply(200, Grant::Script, &ProgressPage { frame, view, details: details.finish() })
    }

    /// Shows that the activation takes unusually long, or was given up until somebody asks for another try.
    pub fn delayed(&self, view: &Delayed) -> Reply {
        let mut details = self.details();
        details
            .text("label-offer", &view.offer)
            .text("label-plan", &view.plan)
            .time("label-confirmed", view.since)
            .text("label-subscription-id", &view.subscription_id);
        let (title, grant) =
            if view.given_up { ("given-up-title", Grant::Form) } else { ("delayed-title", Grant::Nothing) };
        let frame = self.frame(title, Tone::Attention);
        self.reply(200, grant, &DelayedPage { frame, view, details: details.finish() })
    }

    /// Shows why the publisher's own software refused to set the subscription up, and offers to ask it again.
    pub fn refused(&self, view: &Refused) -> Reply {
        let mut details = self.details();
        details
            .text("label-offer", &view.offer)
            .text("label-plan", &view.plan)
            .time("label-confirmed", view.since)
            .text("label-subscription-id", &view.subscription_id);
        let frame = self.frame("refused-title", Tone::Attention);
        self.reply(200, Grant::Form, &RefusedPage { frame, view, details: details.finish() })
    }

    /// Shows that the subscription has just become active, and leads on to the publisher's app.
    pub fn done(&self, view: &Active) -> Reply {
        self.active(view, Arrived::ByActivation)
    }

    /// Shows an active subscription to somebody who comes again to manage it.
    pub fn manage(&self, view: &Active) -> Reply {
        self.active(view, Arrived::Again)
    }

    /// Leads on to the publisher's software by itself, or by a button where scripts are off.
    pub fn handoff(&self, view: &Handoff) -> Reply {
        let frame = self.frame(if view.is_setup { "setup-title" } else { "handoff-title" }, Tone::Working);
        self.reply(200, Grant::Handoff(&view.address), &HandoffPage { frame, view })
    }

    /// Says what went wrong and what to do now, without a word of its cause. The status is the code's own.
    pub fn fault(&self, code: Code, view: &Trouble) -> Reply {
        let message = fault::message(code);
        let page = FaultPage {
            frame: self.frame(message, Tone::Attention),
            view,
            code,
            text: self.0.say(&format!("{message}.text")),
            advice: self.0.say(&format!("{message}.advice")),
            action: self.0.say(fault::action(code)),
        };
        self.reply(code.status(), Grant::Nothing, &page)
    }

    fn active(&self, view: &Active, arrived: Arrived) -> Reply {
        let mut details = self.details();
        details
            .text("label-subscription", &view.subscription_name)
            .text("label-offer", &view.offer)
            .text("label-plan", &view.plan)
            .seats(view.seats)
            .term(view.term_unit.as_deref())
            .text("label-subscription-id", &view.subscription_id);
        let title = match arrived {
            Arrived::ByActivation => "done-title",
            Arrived::Again => "manage-title",
        };
        let frame = self.frame(title, Tone::Good);
        self.reply(200, Grant::Nothing, &ActivePage { frame, view, arrived, details: details.finish() })
    }

    fn details(&self) -> Details<'_> {
        Details::new(&self.0)
    }

    fn frame(&self, title: &str, tone: Tone) -> Frame<'_> {
        Frame { pages: &self.0, title: self.0.say(title), tone }
    }

    fn reply(&self, status: u16, grant: Grant<'_>, page: &impl Template) -> Reply {
        let html = page.render().expect("a template fails only where writing fails, and a String takes everything");
        self.0.policy.protect(Reply::new(status, "text/html; charset=utf-8", html), grant)
    }
}

impl Inner {
    /// The sentence of this key; every sentence may name the publisher.
    fn say(&self, key: &str) -> String {
        self.sentences.say(key, &[("publisher", self.publisher.name.as_str().into())])
    }

    /// The sentence of this key about a number.
    fn say_count(&self, key: &str, count: u32) -> String {
        self.sentences.say(key, &[("count", count.into())])
    }

    /// The sentence of this key about a moment, to the minute.
    fn say_time(&self, key: &str, time: OffsetDateTime) -> String {
        let minute = time
            .to_offset(time::UtcOffset::UTC)
            .format(format_description!("[year]-[month]-[day] [hour]:[minute]"))
            .expect("a date with its offset has all of these");
        self.sentences.say(key, &[("time", minute.into())])
    }
}

/// What templates ask for.
impl Frame<'_> {
    fn say(&self, key: &str) -> String {
        self.pages.say(key)
    }

    fn publisher(&self) -> &str {
        &self.pages.publisher.name
    }

    fn support_url(&self) -> &Url {
        &self.pages.publisher.support_url
    }

    fn app_url(&self) -> &Url {
        &self.pages.publisher.app_url
    }
}
