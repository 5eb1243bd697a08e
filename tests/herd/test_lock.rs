//! A lock between the tests of this process: tests that measure time run alone, all others side by side.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static LOCK: RwLock<()> = RwLock::new(());

/// A guard that a test keeps while it runs.
pub struct TestLock {
    _shared: Option<RwLockReadGuard<'static, ()>>,
    _exclusive: Option<RwLockWriteGuard<'static, ()>>,
}

impl TestLock {
    /// Waits until no exclusive test runs.
    pub fn shared() -> TestLock {
        // A poisoned lock is fine: it guards no data.
        TestLock { _shared: Some(LOCK.read().unwrap_or_else(PoisonError::into_inner)), _exclusive: None }
    }

    /// Waits until no other test runs.
    pub fn exclusive() -> TestLock {
        TestLock { _shared: None, _exclusive: Some(LOCK.write().unwrap_or_else(PoisonError::into_inner)) }
    }
}
