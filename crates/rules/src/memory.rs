//! The memory that compiled expressions take: those of one owner, and all of them together.
//!
//! A definition or a policy is as large as a request may be, and compiled it can take a thousand times that: regular
//! expressions are short, their automata are not. So each owner has a bound, which the author meets when the object is
//! written, and what all owners keep has another: what was not used for longest is dropped, and compiled again when it is
//! needed. Upstream has no bounds.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What the expressions of one owner may take, in bytes.
const OWNER_BYTES_MAX: usize = 64 << 20;
/// What all owners of a process may keep, in bytes.
const TOTAL_BYTES_MAX: usize = 512 << 20;

static PROCESS: Memory = Memory::new(TOTAL_BYTES_MAX);

/// What the expressions of one owner take. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Spent(Arc<AtomicUsize>);

impl Spent {
    /// Counts an expression.
    ///
    /// # Errors
    /// It does not fit.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), String> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= OWNER_BYTES_MAX {
            return Ok(());
        }
        self.0.fetch_sub(bytes, Ordering::Relaxed);
        Err(format!("the compiled expressions exceed {OWNER_BYTES_MAX} bytes together"))
    }

    /// How much they take.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something compiled that can be compiled again, and is dropped where others need the memory.
pub struct Kept<T: Send + Sync + 'static> {
    slot: Arc<Slot<T>>,
    memory: &'static Memory,
}

struct Slot<T> {
    value: Mutex<Option<Arc<T>>>,
    bytes: AtomicUsize,
    /// In the memory's count of uses.
    used: AtomicU64,
}

/// What several owners keep.
struct Memory {
    bytes_max: usize,
    uses: AtomicU64,
    owners: Mutex<Vec<Weak<dyn Owner>>>,
}

trait Owner: Send + Sync {
    /// Bytes, and the last use.
    fn size(&self) -> (usize, u64);
    fn drop_value(&self);
}

impl<T: Send + Sync> Owner for Slot<T> {
    fn size(&self) -> (usize, u64) {
        (self.bytes.load(Ordering::Relaxed), self.used.load(Ordering::Relaxed))
    }

    fn drop_value(&self) {
        let value = lock(&self.value).take();
        self.bytes.store(0, Ordering::Relaxed);
        drop(value);
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + Sync + 'static> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept::within(&PROCESS)
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    fn within(memory: &'static Memory) -> Kept<T> {
        let slot = Slot { value: Mutex::default(), bytes: AtomicUsize::new(0), used: AtomicU64::new(0) };
        Kept { slot: Arc::new(slot), memory }
    }

    /// What is kept; none if nothing was made yet, or if it was dropped for others.
    pub fn get(&self) -> Option<Arc<T>> {
        let value = lock(&self.slot.value).clone()?;
        self.slot.used.store(self.memory.next_use(), Ordering::Relaxed);
        Some(value)
    }

    /// Keeps what was made.
    pub fn put(&self, value: T, bytes: usize) -> Arc<T> {
        let value = Arc::new(value);
        *lock(&self.slot.value) = Some(Arc::clone(&value));
        self.slot.bytes.store(bytes, Ordering::Relaxed);
        self.slot.used.store(self.memory.next_use(), Ordering::Relaxed);
        let slot: Arc<dyn Owner> = Arc::clone(&self.slot) as _;
        self.memory.keep(&slot);
        value
    }
}

impl Memory {
    const fn new(bytes_max: usize) -> Memory {
        Memory { bytes_max, uses: AtomicU64::new(0), owners: Mutex::new(Vec::new()) }
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes room for what this owner keeps now.
    fn keep(&self, new: &Arc<dyn Owner>) {
        let mut owners = lock(&self.owners);
        let mut sizes = Vec::with_capacity(owners.len());
        owners.retain(|owner| {
            let Some(owner) = owner.upgrade().filter(|owner| !Arc::ptr_eq(owner, new)) else { return false };
            let (bytes, used) = owner.size();
            if bytes > 0 {
                sizes.push((used, bytes, owner));
            }
            bytes > 0
        });
        owners.push(Arc::downgrade(new));
        drop(owners);
        let mut total = sizes.iter().fold(new.size().0, |sum, (_, bytes, _)| sum.saturating_add(*bytes));
        sizes.sort_by_key(|(used, ..)| *used);
        for (_, bytes, owner) in sizes {
            if total <= self.bytes_max {
                return;
            }
            owner.drop_value();
            total -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Compiler, Returns, Scope};

    #[test]
    fn what_was_not_used_for_longest_is_dropped() {
        static MEMORY: Memory = Memory::new(100);
        let [a, b, c] = [(); 3].map(|()| Kept::within(&MEMORY));
        let kept = || [&a, &b, &c].map(|kept| lock(&kept.slot.value).as_deref().copied());
        a.put('a', 40);
        b.put('b', 40);
        assert_eq!(a.get().as_deref(), Some(&'a'));
        c.put('c', 40);
        assert_eq!(kept(), [Some('a'), None, Some('c')]);
        // What is in use stays until it is no longer.
        let used = a.get();
        c.put('d', 100);
        assert_eq!(kept(), [None, None, Some('d')]);
        assert_eq!(used.as_deref(), Some(&'a'));
        drop(c);
        b.put('b', 60);
        a.put('a', 40);
        assert_eq!([a.get().as_deref(), b.get().as_deref()], [Some(&'a'), Some(&'b')]);
    }

    #[test]
    fn an_owner_has_a_bound() {
        let spent = Spent::default();
        spent.add(OWNER_BYTES_MAX - 1).unwrap();
        assert!(spent.clone().add(2).unwrap_err().contains("exceed 67108864 bytes"));
        spent.add(1).unwrap();
        assert_eq!(spent.bytes(), OWNER_BYTES_MAX);
    }

    #[test]
    fn what_an_owner_has_compiled_is_bounded_together() {
        let compiler = Compiler::new(Scope::default());
        let text = |at: usize| format!(r"object.metadata.name.matches('^\\pL{{12}}{at}')");
        compiler.compile(&text(0), Returns::Bool).unwrap();
        let one = compiler.spent().bytes();
        assert!(one > 200_000, "patterns count: {one}");
        let elsewhere = compiler.with_scope(Scope { authorizer: true, ..Scope::default() });
        while compiler.spent().add(one).is_ok() {}
        let why = elsewhere.compile(&text(1), Returns::Bool).unwrap_err();
        assert_eq!(why, "the compiled expressions exceed 67108864 bytes together");
    }
}
