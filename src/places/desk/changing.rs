//! Other bounds and another service, while questions are pending.

use std::rc::Rc;

use super::cache::Cache;
use super::pending::{Pending, QuestionId};
use super::{Bounds, Breaker, Desk, End, Step};
use crate::places::dialect::Service;

impl<C: Copy + Eq, W: Copy + Ord> Desk<C, W> {
    /// Changes the bounds for later questions.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        while self.idle.len() > self.bounds.connections {
            self.steps.push_back(Step::Abort(self.idle.remove(0)));
        }
    }

    /// Puts questions to another service from now on, the waiting ones included. Idle connections are ended, and
    /// connections in use are not reused.
    pub fn change_service(&mut self, service: Service) {
        self.service = Rc::new(service);
        self.cache = Cache::default();
        self.breaker = Breaker::default();
        let ended = self.idle.drain(..).chain(self.unmade.drain(..));
        self.steps.extend(ended.map(Step::Abort));
        self.shared.clear();
        let unsent =
            |(&id, pending): (&QuestionId, &Pending<C, W>)| pending.connection().is_none().then_some(id);
        let unsent: Vec<QuestionId> = self.questions.iter().filter_map(unsent).collect();
        for id in unsent {
            self.readdress(id);
        }
    }

    /// Makes the request of a question anew, for the present service.
    pub(super) fn readdress(&mut self, id: QuestionId) {
        let Some(pending) = self.questions.get_mut(&id) else { return };
        match self.service.refusal(&pending.question) {
            Some(refusal) => self.answer(id, End::Invalid, Rc::new(refusal)),
            None => {
                pending.service = self.service.clone();
                pending.request = self.service.request(&pending.question);
                self.shared.insert(pending.request.clone(), id);
            }
        }
    }
}
