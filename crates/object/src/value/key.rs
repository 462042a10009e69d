//! Keys of objects.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A key: borrowed where it is the name of a field of the table or of the program, owned otherwise.
///
/// Two words instead of the three that an enum of `&'static str` and `Box<str>` takes: objects are mostly
/// keys, and caches hold many objects.
pub struct Key {
    start: NonNull<u8>,
    len: u32,
    owned: bool,
    _text: PhantomData<Box<str>>,
}

impl Key {
    /// The text.
    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor stores the start and the length of a `str`, which is either static or
        // owned by this key and freed only by its `drop`.
        unsafe {
            let bytes = std::slice::from_raw_parts(self.start.as_ptr(), self.len as usize);
            std::str::from_utf8_unchecked(bytes)
        }
    }

    fn text_len(text: &str) -> u32 {
        u32::try_from(text.len()).expect("a key is part of a request, which is far below 4 GiB")
    }
}

// SAFETY: a key is an immutable `&'static str` or a `Box<str>`, both of which may be sent and shared.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        if self.owned {
            let text = std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.len as usize);
            // SAFETY: `owned` is set only by `From<Box<str>>`, which took these parts out of a `Box<str>` and leaked
            // it; a clone makes its own box.
            drop(unsafe { Box::from_raw(text as *mut str) });
        }
    }
}

impl Clone for Key {
    fn clone(&self) -> Key {
        if self.owned {
            Key::from(Box::<str>::from(self.as_str()))
        } else {
            Key { start: self.start, len: self.len, owned: false, _text: PhantomData }
        }
    }
}

impl From<&'static str> for Key {
    fn from(key: &'static str) -> Key {
        Key { start: NonNull::from(key).cast(), len: Key::text_len(key), owned: false, _text: PhantomData }
    }
}

impl From<Box<str>> for Key {
    fn from(key: Box<str>) -> Key {
        let len = Key::text_len(&key);
        Key { start: NonNull::from(Box::leak(key)).cast(), len, owned: true, _text: PhantomData }
    }
}

impl From<String> for Key {
    fn from(key: String) -> Key {
        Key::from(key.into_boxed_str())
    }
}

impl From<&Cow<'static, str>> for Key {
    fn from(key: &Cow<'static, str>) -> Key {
        match key {
            Cow::Borrowed(key) => Key::from(*key),
            Cow::Owned(key) => Key::from(key.clone()),
        }
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
