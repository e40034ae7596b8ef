//! Provisioning: with `ACTIVATION` `publisher` nothing is activated before the publisher says so, by its software's answer
//! or by its order.

use std::time::Duration as Patience;

use crate::app::{App, Attempt, Otherwise};
use crate::cloud_event;
use crate::command::{self, Provisioning};
use crate::duty::BACKOFF_CEILING;
use crate::settings::Activation;
use crate::subscription::{Event, Subscription};

/// How long the publisher's software may take for its answer, as for an event. What takes longer is answered with 202 and
/// asked about again. With a look at Microsoft before it, it stays within [`crate::duty::LEASE`], which begins anew once
/// the answer is saved.
pub const PROVISION_PATIENCE: Patience = Patience::from_secs(15);

/// Whether the publisher must say something before Microsoft is asked. What Microsoft has received already is not held up
/// any more.
pub(super) fn is_awaited(app: &App, subscription: &Subscription) -> bool {
    app.settings.connection.activation == Activation::Publisher && subscription.awaits_provisioning()
}

/// Asks the publisher's software. `None` where it has provisioned; else what becomes of the duty.
pub(super) async fn ask(app: &App, subscription: &Subscription) -> Option<Attempt> {
    let Some(to) = &app.settings.connection.provision else {
        let why = "the publisher has not ordered the activation yet".to_owned();
        // Its order rings by itself: nothing is gained by looking often.
        return Some(Attempt::in_vain(Otherwise::Wait { why, after: Some(BACKOFF_CEILING) }));
    };
    let message = cloud_event::provision(&app.settings, subscription, app.clock.now());
    let answer = match command::send(app, to, &message, PROVISION_PATIENCE).await {
        Ok(answer) => answer,
        Err(why) => return Some(Attempt::in_vain(Otherwise::Wait { why, after: None })),
    };
    let status = answer.status;
    match command::provisioning(&answer) {
        Provisioning::Done => None,
        Provisioning::UnderWay(after) => {
            let why = format!("the publisher's software is working on it: it answered {status}");
            Some(Attempt::in_vain(Otherwise::Wait { why, after }))
        }
        Provisioning::Refused(why) => {
            // With its refusal the duty is gone.
            let otherwise = Otherwise::Wait { why: "the publisher's software refused".to_owned(), after: None };
            Some(Attempt { learnt: vec![Event::ProvisionRefused { why }], read: None, otherwise })
        }
        Provisioning::Unclear { why, after } => Some(Attempt::in_vain(Otherwise::Wait { why, after })),
    }
}
