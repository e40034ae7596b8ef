//! What the simulator sells: one offer with a flat plan and two that are sold per seat.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::refusal::Refusal;

/// The one offer.
pub const OFFER: &str = "contoso-offer";

/// What Microsoft puts behind the offer's id when it is bought from its preview.
pub(super) const PREVIEW_SUFFIX: &str = "-preview";

/// Who publishes the offer.
pub(super) const PUBLISHER: &str = "contoso";

/// A plan of the offer.
#[derive(Debug)]
pub struct Plan {
    /// The id, as the API names it.
    pub id: &'static str,
    /// The name that customers read.
    pub name: &'static str,
    /// What it costs per month in US dollars: per seat where it is sold per seat.
    pub price: u32,
    /// How many seats may be bought; `None` for a flat price.
    pub seats: Option<RangeInclusive<u32>>,
}

/// The plans, cheapest first.
pub static PLANS: [Plan; 3] = [
    Plan { id: "bronze", name: "Bronze", price: 49, seats: None },
    Plan { id: "silver", name: "Silver", price: 9, seats: Some(1..=1_000) },
    Plan { id: "gold", name: "Gold", price: 19, seats: Some(1..=1_000) },
];

/// The plan with this id.
pub(super) fn plan(id: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.id == id)
}

impl Plan {
    /// Whether this many seats of the plan can be had.
    pub fn check_quantity(&self, quantity: Option<u32>) -> Result<(), Refusal> {
        match (&self.seats, quantity) {
            (None, None) => Ok(()),
            (Some(seats), Some(quantity)) if seats.contains(&quantity) => Ok(()),
            (Some(seats), Some(quantity)) => Err(Refusal::bad_request(
                "QuantityOutOfRange",
                "quantity",
                format!("{} is sold with {} to {} seats, not {quantity}", self.id, seats.start(), seats.end()),
            )),
            (Some(seats), None) => Err(Refusal::bad_request(
                "QuantityRequired",
                "quantity",
                format!("{} is sold per seat: quantity must be {} to {}", self.id, seats.start(), seats.end()),
            )),
            (None, Some(_)) => Err(Refusal::bad_request(
                "QuantityNotAllowed",
                "quantity",
                format!("{} has a flat price: leave quantity out", self.id),
            )),
        }
    }

    /// The plan as List Available Plans shows it. Seat limits are absent for flat plans, and `sourceOffers` but for the
    /// private offer that the subscription was bought with.
    pub fn to_json(&self, term_unit: &str, private_offer: Option<&str>) -> Value {
        let mut plan = json!({
            "planId": self.id,
            "displayName": self.name,
            "description": format!("{} plan", self.name),
            "isPrivate": private_offer.is_some(),
            "hasFreeTrials": false,
            "isPricePerSeat": self.seats.is_some(),
            "isStopSell": false,
            "market": "US",
            "planComponents": {
                "recurrentBillingTerms": [{
                    "currency": "USD",
                    "price": f64::from(self.price),
                    "termUnit": term_unit,
                    "termDescription": "Subscription",
                }],
                "meteringDimensions": [],
            },
        });
        if let Some(seats) = &self.seats {
            plan["minQuantity"] = (*seats.start()).into();
            plan["maxQuantity"] = (*seats.end()).into();
        }
        if let Some(offer) = private_offer {
            plan["sourceOffers"] = json!([{ "externalId": offer }]);
        }
        plan
    }
}
