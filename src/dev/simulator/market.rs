//! The marketplace's own records: what was bought, the tokens that lead buyers to the publisher, and the calls that
//! read them. Plain and synchronous; the time is an argument, chance is seeded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::call::Call;
use super::catalog;
use super::delivery::Queue;
use super::faults::{Faults, Rule};
use super::lifecycle::Report;
use super::operation::{Action, Operation};
use super::payload::payload;
use super::people::Who;
use super::refusal::Refusal;
use super::subscription::{Activation, Standing, Subscription, TermUnit};
use super::trial::Trial;
use super::webhooks::Webhooks;

/// How many subscriptions the simulator keeps: more than a publisher needs to try paging and reconciliation, and little
/// enough that all of them fit one answer of some 16 MB.
pub(super) const SUBSCRIPTIONS: usize = 20_000;

/// How long a purchase token can be resolved.
pub const TOKEN_LIFETIME: Duration = Duration::hours(24);

/// How many tokens are remembered; the oldest is forgotten first.
pub(super) const TOKENS: usize = 40_000;

/// The bytes of a token before base64, as recorded: 216 characters.
const TOKEN_LENGTH: usize = 160;

/// How many attempts to deliver webhooks are shown of each subscription where all are shown.
const ATTEMPTS_SHOWN: usize = 10;

/// The longest name of a subscription, in bytes.
const LONGEST_NAME: usize = 256;

/// What somebody buys.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Purchase {
    /// `contoso-offer`, or `contoso-offer-preview` for a purchase from the offer's preview.
    pub offer_id: String,
    /// `bronze`, `silver` or `gold`.
    pub plan_id: String,
    /// Seats; for plans that are sold per seat only.
    #[serde(default)]
    pub quantity: Option<u32>,
    /// Active at once, without the publisher's Activate.
    #[serde(default)]
    pub auto_activate: bool,
    /// Who uses it: `buyer` unless said otherwise.
    #[serde(default)]
    pub beneficiary: Who,
    /// Who pays: `buyer` unless said otherwise. Of another tenant than the beneficiary: a reseller.
    #[serde(default)]
    pub purchaser: Who,
    /// Bought with a private offer.
    #[serde(default)]
    pub private_offer: bool,
    /// The name that the customer chooses.
    #[serde(default)]
    pub name: Option<String>,
    /// How long a term lasts: a month unless said otherwise.
    #[serde(default)]
    pub term_unit: TermUnit,
    /// Whether it renews by itself: yes unless said otherwise.
    #[serde(default = "yes")]
    pub auto_renew: bool,
    /// How long it is free before it is paid for: not at all unless said otherwise.
    #[serde(default)]
    pub free_trial: Option<Trial>,
}

fn yes() -> bool {
    true
}

impl Purchase {
    /// The buyer buys `plan_id` for themselves.
    pub fn of(plan_id: &str, quantity: Option<u32>) -> Self {
        Self {
            offer_id: catalog::OFFER.to_owned(),
            plan_id: plan_id.to_owned(),
            quantity,
            auto_activate: false,
            beneficiary: Who::default(),
            purchaser: Who::default(),
            private_offer: false,
            name: None,
            term_unit: TermUnit::default(),
            auto_renew: true,
            free_trial: None,
        }
    }
}

/// Leads a customer to the publisher's landing page.
struct PurchaseToken {
    text: String,
    subscription_id: String,
    expires_at: OffsetDateTime,
}

/// Everything the marketplace knows.
pub(super) struct Market {
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    tokens: VecDeque<PurchaseToken>,
    pub(super) rng: fastrand::Rng,
    /// How it behaves.
    pub faults: Faults,
    /// Webhooks that are not yet received.
    pub queue: Queue,
    /// When time next does something to a subscription; one entry for each at most.
    pub(super) agenda: BTreeSet<(OffsetDateTime, String)>,
    /// The subscriptions whose entries may be out of date.
    pub(super) touched: Vec<String>,
    /// What the log has not heard of yet.
    pub(super) reports: Vec<Report>,
}

/// A GUID that was not given before.
pub(super) fn guid(rng: &mut fastrand::Rng) -> String {
    uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid().to_string()
}

impl Market {
    /// An empty marketplace; the same seed gives the same ids and the same chance.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            subscriptions: BTreeMap::new(),
            tokens: VecDeque::new(),
            rng: fastrand::Rng::with_seed(seed),
            faults: Faults::default(),
            queue: Queue::default(),
            agenda: BTreeSet::new(),
            touched: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Forgets everything but where chance stands, so that ids are not given twice.
    pub(super) fn forget(&mut self) {
        self.subscriptions.clear();
        self.tokens.clear();
        self.faults = Faults::default();
        self.queue.forget();
        self.agenda.clear();
    }

    /// A GUID that was not given before.
    pub(super) fn guid(&mut self) -> String {
        guid(&mut self.rng)
    }

    /// Somebody buys. Answers the subscription's id.
    pub(super) fn purchase(&mut self, purchase: &Purchase, now: OffsetDateTime) -> Result<String, Refusal> {
        let offer = purchase.offer_id.strip_suffix(catalog::PREVIEW_SUFFIX).unwrap_or(&purchase.offer_id);
        if offer != catalog::OFFER {
            return Err(Refusal::bad_request(
                "UnknownOffer",
                "offerId",
                format!("offerId: only {} is sold", catalog::OFFER),
            ));
        }
        let plan = catalog::plan(&purchase.plan_id).ok_or_else(|| {
            Refusal::bad_request("UnknownPlan", "planId", "planId: the plans are bronze, silver and gold")
        })?;
        plan.check_quantity(purchase.quantity)?;
        let id = self.guid();
        let name = purchase.name.clone().unwrap_or_else(|| format!("contoso-{}", &id[..8]));
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(Refusal::bad_request("InvalidName", "name", format!("name: 1 to {LONGEST_NAME} bytes")));
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS {
            let full =
                format!("the simulator keeps at most {SUBSCRIPTIONS} subscriptions; DELETE /simulator forgets them");
            return Err(Refusal::conflict("", full));
        }
        let mut subscription = Subscription {
            id,
            name,
            offer_id: purchase.offer_id.clone(),
            plan,
            quantity: purchase.quantity,
            standing: Standing::PendingFulfillmentStart,
            since: now,
            beneficiary: purchase.beneficiary.0.clone(),
            purchaser: purchase.purchaser.0.clone(),
            term_unit: purchase.term_unit,
            term: None,
            auto_renew: purchase.auto_renew,
            free_trial: purchase.free_trial,
            trial_ends: None,
            private_offer: purchase.private_offer.then(|| self.guid()),
            created: now,
            activation: None,
            operations: VecDeque::new(),
            attempts: VecDeque::new(),
            scheduled: None,
            calls: BTreeMap::new(),
        };
        if purchase.auto_activate {
            subscription.begin(now);
        }
        let subscribed = Operation::done(&subscription, self.guid(), Action::Subscribe, now);
        let id = subscription.id.clone();
        self.subscriptions.insert(id.clone(), subscription);
        self.touched.push(id.clone());
        if purchase.auto_activate {
            self.announce(&id, subscribed);
        }
        Ok(id)
    }

    /// A fresh token: opaque, good for a day, resolvable many times, with every character that breaks in a URL.
    pub(super) fn token(&mut self, id: &str, now: OffsetDateTime) -> Result<String, Refusal> {
        self.find(id)?;
        let mut bytes = [0; TOKEN_LENGTH];
        self.rng.fill(&mut bytes);
        // These three bytes are written "+/+/"; the length alone makes the "==" at the end.
        let at = self.rng.usize(..TOKEN_LENGTH / 3) * 3;
        bytes[at..at + 3].copy_from_slice(&[0xfb, 0xff, 0xbf]);
        let text = STANDARD.encode(bytes);
        if self.tokens.len() == TOKENS {
            self.tokens.pop_front();
        }
        let expires_at = now + TOKEN_LIFETIME;
        self.tokens.push_back(PurchaseToken { text: text.clone(), subscription_id: id.to_owned(), expires_at });
        Ok(text)
    }

    /// Which subscription a token leads to, expired or not.
    pub(super) fn subscription_of(&self, token: &str) -> Option<&str> {
        self.tokens.iter().rev().find(|known| known.text == token).map(|known| known.subscription_id.as_str())
    }

    /// The subscription with this id.
    pub(super) fn find(&mut self, id: &str) -> Result<&mut Subscription, Refusal> {
        self.touched.push(id.to_owned());
        let subscription = self.subscriptions.get_mut(id);
        subscription.ok_or_else(|| Refusal::not_found("subscriptionId", "there is no such subscription"))
    }

    /// Counts a call for the subscription that it names.
    pub(super) fn count(&mut self, id: &str, call: Call) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            *subscription.calls.entry(call).or_default() += 1;
        }
    }

    /// The fault that spoils this call, if any.
    pub(super) fn strike(&mut self, call: Call) -> Option<Rule> {
        self.faults.strike(call, &mut self.rng)
    }

    /// The `last` subscriptions in the order of their purchase, as the simulator's own calls show them.
    pub(super) fn overview(&mut self, last: usize) -> Vec<Value> {
        let mut all: Vec<_> = self.subscriptions.values().collect();
        all.sort_by_key(|subscription| subscription.created);
        let skipped = all.len().saturating_sub(last);
        all.into_iter()
            .skip(skipped)
            .map(|subscription| {
                let mut shown = subscription.to_control_json(ATTEMPTS_SHOWN, &mut self.rng);
                for attempt in shown["deliveries"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
                {
                    attempt.remove("body");
                }
                shown
            })
            .collect()
    }

    /// Resolve.
    pub(super) fn resolve(&mut self, token: &str, now: OffsetDateTime) -> Result<Value, Refusal> {
        let refuse = |message| Refusal::bad_request("InvalidValue", "token", message);
        if STANDARD.decode(token).is_err() {
            return Err(refuse("Failed to decode token"));
        }
        let known = self.tokens.iter().rev().find(|known| known.text == token);
        let known = known.ok_or_else(|| refuse("The token is not valid"))?;
        if known.expires_at <= now {
            return Err(refuse("The token has expired"));
        }
        let id = known.subscription_id.clone();
        let subscription = self.find(&id)?.clone();
        let mut resolved = json!({
            "id": subscription.id,
            "subscriptionName": subscription.name,
            "offerId": subscription.offer_id,
            "planId": subscription.plan.id,
            "subscription": subscription.to_json(&mut self.rng),
        });
        if let Some(quantity) = subscription.quantity {
            resolved["quantity"] = quantity.into();
        }
        Ok(resolved)
    }

    /// Activate. Success means "received": the status follows after the lag. The plan in the body is not compared, as
    /// Microsoft's engineers report of the real API.
    pub(super) fn activate(&mut self, id: &str, now: OffsetDateTime) -> Result<(), Refusal> {
        let operation_id = self.guid();
        let (due, fails) = (now + self.faults.activation_lag, self.faults.activation_fails);
        let subscription = self.find(id)?;
        match subscription.standing {
            Standing::Unsubscribed => Err(Refusal::not_found("subscriptionId", "The subscription is unsubscribed")),
            Standing::Suspended => {
                Err(Refusal::bad_request("BadRequest", "subscriptionId", "The subscription is suspended"))
            }
            Standing::Subscribed => Ok(()),
            Standing::PendingFulfillmentStart => {
                let fails_as = fails.then_some(operation_id);
                subscription.activation.get_or_insert(Activation { due, fails_as });
                Ok(())
            }
        }
    }

    /// Get Subscription.
    pub(super) fn get(&mut self, id: &str) -> Result<Value, Refusal> {
        let subscription = self.find(id)?.clone();
        Ok(subscription.to_json(&mut self.rng))
    }

    /// The full form of the webhook about an operation; null where there is none.
    pub(super) fn webhook_body(&mut self, id: &str, operation_id: &str) -> Value {
        let Some(subscription) = self.subscriptions.get(id) else { return Value::Null };
        let operation = subscription.operations.iter().find(|operation| operation.id == operation_id);
        let body = |operation| payload(subscription, operation, &Webhooks::default(), &mut self.rng);
        operation.map_or(Value::Null, body)
    }

    /// Get Subscription with everything else that is known of it.
    pub(super) fn inspect(&mut self, id: &str) -> Result<Value, Refusal> {
        let subscription = self.find(id)?.clone();
        Ok(subscription.to_control_json(usize::MAX, &mut self.rng))
    }

    /// List Available Plans: all of them, or the one that is named; unknown names give none.
    pub(super) fn plans(&mut self, id: &str, named: Option<&str>) -> Result<Value, Refusal> {
        let subscription = self.find(id)?;
        if subscription.standing == Standing::Unsubscribed {
            let gone = Refusal::bad_request("Forbidden", "subscriptionId", "The subscription is unsubscribed");
            return Err(gone.with_status(403));
        }
        let unit = json!(subscription.term_unit);
        let unit = unit.as_str().unwrap_or_default();
        let plans = catalog::PLANS.iter().filter(|plan| named.is_none_or(|named| named == plan.id)).map(|plan| {
            let bought = named.is_some() && plan.id == subscription.plan.id;
            plan.to_json(unit, subscription.private_offer.as_deref().filter(|_| bought))
        });
        Ok(json!({ "plans": plans.collect::<Vec<_>>() }))
    }
}
