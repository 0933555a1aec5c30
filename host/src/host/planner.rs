//! What the entrance asks of the dispatcher: what would become of a message. Answered by the plan that decides for real.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    dispatch,
    domain::{customer::Customer, message::NewMessage},
    ingress::Foresight,
};

pub(super) struct Planner {
    pub parts: Arc<dispatch::Parts>,
}

impl Foresight for Planner {
    fn foresee(&self, message: NewMessage, customer: Option<&Customer>) -> Value {
        dispatch::foresee(&self.parts, message, customer)
    }
}
