//! Whose turn it is.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests run side by side, but not beside one that measures time.
static TURNS: RwLock<()> = RwLock::new(());

/// Held as long as a test runs; never looked at.
pub struct Turn {
    _shared: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Turn {
    pub fn with_others() -> Turn {
        // A test that failed leaves nothing half done behind the lock.
        Turn { _shared: Some(TURNS.read().unwrap_or_else(PoisonError::into_inner)), _alone: None }
    }

    pub fn alone() -> Turn {
        Turn { _shared: None, _alone: Some(TURNS.write().unwrap_or_else(PoisonError::into_inner)) }
    }
}
