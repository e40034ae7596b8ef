//! The receivers, as processes, connected to a running `dev`: they follow a subscription from its purchase to its end.

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::EVENTS_SECRET;
use marketplace_fulfillment::dev::simulator::{Deed, Faults};
use serde_json::{Value, json};
use time::Duration;

use super::process::{Receiver, Runtime, STARTS, port};
use crate::visitor::Visitor;
use crate::world::{Purchase, World};

/// How far the world may run ahead of the receiver's clock: what the libraries of Standard Webhooks allow, less a margin.
const AHEAD: Duration = Duration::minutes(4);

/// How long it takes at most until the receiver has heard.
const MOMENT: Duration = Duration::seconds(15);

/// What `dev --app` and the receiver's command make together.
struct Connected {
    world: World,
    receiver: Receiver,
}

impl Connected {
    /// `None` where the runtime is not on this machine.
    async fn start(runtime: Runtime, environment: &[(&str, &str)], settings: &[(&str, &str)]) -> Option<Self> {
        let settings = [settings, &[("PUBLISHER_EVENTS_SECRET", EVENTS_SECRET)]].concat();
        for _ in 0..STARTS {
            let command = runtime.command().await?;
            // Each needs the other's address before it starts.
            let port = port();
            let world = World::beside(format!("http://127.0.0.1:{port}").parse().unwrap(), environment).await;
            let fulfillment = world.dev.host_url.as_str().to_owned();
            if let Some(receiver) = Receiver::start_on(command, port, &fulfillment, &settings).await {
                world.dev.simulator.set_faults(Faults { activation_lag: Duration::ZERO, ..Faults::default() }).unwrap();
                return Some(Self { world, receiver });
            }
        }
        panic!("{runtime:?} ends before it is ready");
    }

    /// Lets a moment pass, in which what was done is told.
    async fn pass(&self) {
        self.world.pass(MOMENT).await;
        let ahead = self.world.now() - Clock::System.now();
        assert!(ahead < AHEAD, "the world is {ahead} ahead of the receiver");
    }

    /// What the receiver knows of the subscription.
    async fn known(&self, purchase: &Purchase) -> Value {
        self.receiver.state().await["subscriptions"][purchase.id.as_str()]["subscription"].take()
    }

    async fn hands_over(&self, buyer: &Visitor, purchase: &Purchase) {
        let url = self.world.url(&format!("/api/landing?subscription={}&open", purchase.id));
        let page = buyer.goto(url.as_str()).await;
        assert_eq!(page.attribute("<form", "action"), Some(self.receiver.handoff_url()), "{}", page.body);
        let token = page.input("handoff").unwrap();
        assert_eq!(self.receiver.hand_over(&token).await.status(), 303);
        assert_eq!(self.receiver.hand_over(&token).await.status(), 403);
        let handoff = &self.receiver.state().await["handoffs"][0];
        assert_eq!(
            (&handoff["purpose"], &handoff["subscription"]["id"]),
            (&json!("open"), &json!(purchase.id.as_str()))
        );
        assert_eq!(handoff["person"]["username"], "buyer@fabrikam.example");
    }
}

/// From the purchase to the cancellation, with everything that the receiver has a part in.
pub(super) async fn follows_a_subscription(runtime: Runtime) {
    let Some(connected) = Connected::start(runtime, &[], &[]).await else { return };
    let world = &connected.world;
    let purchase = world.silver().await;
    let buyer = world.confirmed(&purchase).await;
    connected.pass().await;
    assert_eq!(connected.known(&purchase).await["status"], "Subscribed");
    connected.hands_over(&buyer, &purchase).await;

    for (deed, member, value) in [
        (Deed::ChangePlan("gold".to_owned()), "planId", json!("gold")),
        (Deed::ChangeQuantity(7), "quantity", json!(7)),
        (Deed::Suspend, "status", json!("Suspended")),
        (Deed::Reinstate, "status", json!("Subscribed")),
        (Deed::Unsubscribe, "status", json!("Unsubscribed")),
    ] {
        world.dev.simulator.act(purchase.id.as_str(), &deed).unwrap();
        connected.pass().await;
        assert_eq!(connected.known(&purchase).await[member], value, "{deed:?}");
    }

    // What it knows is what we know, and it acted once upon each event, in order.
    let record = world.record(&purchase.id).await.unwrap();
    let known = connected.known(&purchase).await;
    assert_eq!(known["status"], record.known.status.as_str());
    assert_eq!((&known["planId"], &known["quantity"]), (&json!(record.known.plan_id), &json!(record.known.quantity)));
    let printed = connected.receiver.printed_until("marketplace.subscription.cancelled").await;
    let kinds = printed.iter().filter_map(|line| line.strip_prefix("marketplace.subscription.")?.split(' ').next());
    let milestones =
        ["purchased", "confirmed", "activated", "plan_changed", "seats_changed", "suspended", "reinstated"];
    let kinds: Vec<_> = kinds.filter(|kind| milestones.contains(kind)).collect();
    assert_eq!(kinds, milestones);
    world.assert_silence().await;
}

/// The publisher provisions on second thoughts, and refuses every change.
pub(super) async fn answers_the_questions(runtime: Runtime) {
    let (asked, answers) = (&[("ACTIVATION", "publisher")], &[("PROVISION", "later"), ("DECIDE", "refuse")]);
    let Some(connected) = Connected::start(runtime, asked, answers).await else { return };
    let world = &connected.world;
    let purchase = world.silver().await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    // Before billing begins the buyer is handed over, to answer what the publisher must ask first.
    let page = buyer.confirm(&page).await;
    let token = page.input("handoff").unwrap_or_else(|| panic!("no hand-off on: {}", page.body));
    assert_eq!(connected.receiver.hand_over(&token).await.status(), 303);
    assert_eq!(connected.receiver.state().await["handoffs"][0]["purpose"], "setup");

    world.idle().await;
    assert_eq!(connected.receiver.state().await["provisioned"], json!([purchase.id.as_str()]));
    assert_eq!(world.calls(&purchase.id, "activate").await, 0, "the publisher has not said yes");
    connected.pass().await;
    assert_eq!(connected.known(&purchase).await["status"], "Subscribed");

    world.dev.simulator.act(purchase.id.as_str(), &Deed::ChangePlan("gold".to_owned())).unwrap();
    connected.pass().await;
    assert_eq!(connected.known(&purchase).await["planId"], "silver");
    let told = &connected.receiver.state().await["subscriptions"][purchase.id.as_str()]["type"];
    assert_eq!(told, "marketplace.subscription.plan_change_rejected");
    world.assert_silence().await;
}
