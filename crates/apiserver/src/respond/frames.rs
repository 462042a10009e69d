//! What answers share: the frames of watches, and the room for what lists keep.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use object::Versioned;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::negotiate::{Encoding, View};
use crate::options::IncludeObject;
use crate::registry::Endpoint;

/// How many bytes of frames are kept: watchers of a collection ask for the same ones at about the same time.
const FRAMES_BYTES_MAX: usize = 4 << 20;
/// What a frame takes besides its bytes.
const FRAME_BYTES: usize = 256;
/// How many bytes all lists together may keep of what they have encoded and not sent.
const ROOM_BYTES: usize = 64 << 20;
/// The number of bytes per permit.
const UNIT_BYTES: usize = 1 << 10;

/// What the answers of a server share.
pub struct Shared {
    pub(super) frames: Frames,
    room: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { frames: Frames::default(), room: Arc::new(Semaphore::new(ROOM_BYTES / UNIT_BYTES)) }
    }
}

impl Shared {
    /// Room for so many bytes, until it is dropped; `None` if others have taken it all.
    pub(super) fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(units).ok()
    }
}

/// The form of a watch's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) event: &'static str,
    pub(super) encoding: Encoding,
    pub(super) view: View,
    pub(super) include: IncludeObject,
    /// A table's columns are in it.
    pub(super) has_columns: bool,
    /// When a table was made, in seconds: it tells ages.
    pub(super) second: i64,
}

/// Where the names of versions and the endpoints are, which distinguishes those that are alive. Versions that share
/// their names are told apart by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    names: usize,
    number: u64,
    endpoint: usize,
    form: Form,
}

/// The newest frames of watches: a change is encoded once in each form, however many watch it. They are not kept with
/// their versions, because those stay for as long as watches may resume from them.
#[derive(Default)]
pub(super) struct Frames(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    frames: HashMap<Key, Bytes>,
    /// The oldest first. Versions and endpoints live as long as their keys.
    order: VecDeque<(Key, Versioned, Arc<Endpoint>)>,
    bytes: usize,
}

impl Frames {
    /// The frame of a version, which is made if nobody has asked for it recently.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn get<E>(
        &self,
        version: &Versioned,
        endpoint: &Arc<Endpoint>,
        form: Form,
        make: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let key = Key {
            names: std::ptr::from_ref(version.key()) as usize,
            number: version.resource_version(),
            endpoint: Arc::as_ptr(endpoint) as usize,
            form,
        };
        if let Some(frame) = self.0.lock().frames.get(&key) {
            return Ok(frame.clone());
        }
        // Two watches may both get here, and make the same frame.
        let frame = make()?;
        self.0.lock().put(key, frame.clone(), version, endpoint);
        Ok(frame)
    }
}

impl Kept {
    fn put(&mut self, key: Key, frame: Bytes, version: &Versioned, endpoint: &Arc<Endpoint>) {
        let bytes = frame.len() + FRAME_BYTES;
        if self.frames.insert(key, frame).is_some() {
            return;
        }
        self.order.push_back((key, version.clone(), Arc::clone(endpoint)));
        self.bytes += bytes;
        while self.bytes > FRAMES_BYTES_MAX
            && let Some((oldest, ..)) = self.order.pop_front()
        {
            let dropped = self.frames.remove(&oldest).map_or(0, |frame| frame.len() + FRAME_BYTES);
            self.bytes -= dropped;
        }
        debug_assert_eq!(self.frames.len(), self.order.len(), "every frame has its place in the order");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use object::{FieldValues, TypeMeta, value};

    use super::*;

    fn endpoint() -> Arc<Endpoint> {
        Arc::new(Endpoint {
            def: schema::resource("", "v1", "configmaps").unwrap().into(),
            strategy: kinds::strategy("", "configmaps").into(),
            type_meta: TypeMeta::new("v1", "ConfigMap"),
            collection: None,
            conversion: None,
            terminating: false,
        })
    }

    fn version(number: u64) -> Versioned {
        let object = value!({"metadata": {"name": "m", "resourceVersion": number.to_string()}});
        Versioned::from_value(TypeMeta::new("v1", "ConfigMap"), &object, FieldValues::default()).unwrap()
    }

    const FORM: Form = Form {
        event: "ADDED",
        encoding: Encoding::Json,
        view: View::Object,
        include: IncludeObject::None,
        has_columns: false,
        second: 0,
    };

    #[test]
    fn a_frame_is_made_once_in_each_form_and_old_ones_go() {
        let (frames, endpoint, made) = (Frames::default(), endpoint(), Cell::new(0));
        let get = |version: &Versioned, form: Form, bytes: usize| {
            let make = || {
                made.set(made.get() + 1);
                Ok::<_, Infallible>(Bytes::from(vec![b'x'; bytes]))
            };
            let Ok(frame) = frames.get(version, &endpoint, form, make);
            assert_eq!(frame.len(), bytes);
            made.get()
        };
        let (one, other) = (version(1), version(1));
        assert_eq!((get(&one, FORM, 10), get(&one, FORM, 10)), (1, 1));
        assert_eq!(get(&other, FORM, 20), 2, "equal versions of two objects are told apart");
        let forms = [
            Form { event: "MODIFIED", ..FORM },
            Form { encoding: Encoding::Protobuf, ..FORM },
            Form { include: IncludeObject::Object, ..FORM },
            Form { has_columns: true, ..FORM },
            Form { second: 1, ..FORM },
        ];
        for (at, form) in forms.into_iter().enumerate() {
            assert_eq!((get(&one, form, 10), get(&one, form, 10)), (3 + at, 3 + at), "{form:?}");
        }
        let before = made.get();
        for number in 0..100 {
            get(&version(number), FORM, FRAMES_BYTES_MAX / 10);
        }
        let kept = frames.0.lock().frames.len();
        assert!((8..=10).contains(&kept), "{kept} frames are kept");
        assert_eq!(get(&one, FORM, 10), before + 101);
    }

    #[test]
    fn room_is_bounded_and_comes_back() {
        let shared = Shared::default();
        let taken: Vec<_> = (0..64).map(|_| shared.room(1 << 20).unwrap()).collect();
        assert!(shared.room(1).is_none());
        drop(taken);
        assert!(shared.room(ROOM_BYTES).is_some());
    }
}
