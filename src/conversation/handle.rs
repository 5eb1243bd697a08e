//! Typed names of conversations.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use super::{Context, Conversation, PlacesRequest};
use crate::protocol::{ConnectionId, Delivery};

/// A kind of conversation that other parts of the program address.
pub trait Kind: Sized + 'static {
    /// The conversation, if it is of this kind.
    fn of(conversation: &mut Conversation) -> Option<&mut Self>;
}

impl Kind for Conversation {
    fn of(conversation: &mut Conversation) -> Option<&mut Conversation> {
        Some(conversation)
    }
}

impl Kind for PlacesRequest {
    fn of(conversation: &mut Conversation) -> Option<&mut PlacesRequest> {
        if let Conversation::PlacesRequest(request) = conversation { Some(request.as_mut()) } else { None }
    }
}

/// The name of a connection whose conversation is of kind `K`.
pub struct Handle<K> {
    id: ConnectionId,
    kind: PhantomData<fn(K)>,
}

impl<K: Kind> Handle<K> {
    /// The handle of a connection whose conversation is known to be of kind `K`.
    pub fn new(id: ConnectionId) -> Handle<K> {
        Handle { id, kind: PhantomData }
    }

    /// The connection.
    pub fn id(self) -> ConnectionId {
        self.id
    }

    /// A call to this conversation, for [`Command::Deliver`](crate::protocol::Command::Deliver).
    pub fn call(call: impl FnOnce(&mut K, &mut Context<'_>) + 'static) -> Delivery<Conversation> {
        Box::new(|conversation, context| {
            context.shared.set_time(context.wall);
            if let Some(conversation) = K::of(conversation) {
                call(conversation, context);
            }
        })
    }
}

impl<K> Clone for Handle<K> {
    fn clone(&self) -> Handle<K> {
        *self
    }
}

impl<K> Copy for Handle<K> {}

impl<K> PartialEq for Handle<K> {
    fn eq(&self, other: &Handle<K>) -> bool {
        self.id == other.id
    }
}

impl<K> Eq for Handle<K> {}

impl<K> PartialOrd for Handle<K> {
    fn partial_cmp(&self, other: &Handle<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Handle<K> {
    fn cmp(&self, other: &Handle<K>) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl<K> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)
    }
}
