//! Plugins at the extension points at which they can take part, from which profiles are put together.

use std::sync::Arc;

use super::binding::{Bind, Permit, PostBind, PreBind, Reserve};
use super::erased::{AnyFilter, AnyHint, AnyPermit, AnyPostBind, AnyPostFilter, AnyPreEnqueue, AnyScore};
use super::held::{AnyBind, AnyReserve, PreBinds, Reserves};
use super::{Filter, Plugin, PostFilter, PreEnqueue, QueueSort, Score};

/// An extension point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before a pod enters the queue.
    PreEnqueue,
    /// The order of the queue.
    QueueSort,
    /// Once for each pod, before nodes are filtered.
    PreFilter,
    /// For each node.
    Filter,
    /// When no node is left.
    PostFilter,
    /// Once for each pod, before nodes are scored.
    PreScore,
    /// For each remaining node.
    Score,
    /// When a node was chosen.
    Reserve,
    /// Whether a pod is bound now.
    Permit,
    /// Before a pod is bound.
    PreBind,
    /// The binding.
    Bind,
    /// After a pod was bound.
    PostBind,
}

impl Point {
    /// All of them, in the order in which upstream sets plugins up.
    pub const ALL: [Point; 12] = [
        Point::PreFilter,
        Point::Filter,
        Point::PostFilter,
        Point::Reserve,
        Point::PreScore,
        Point::Score,
        Point::PreBind,
        Point::Bind,
        Point::PostBind,
        Point::Permit,
        Point::PreEnqueue,
        Point::QueueSort,
    ];

    /// The name of upstream's interface, as messages have it.
    pub fn interface(self) -> &'static str {
        match self {
            Point::PreEnqueue => "PreEnqueuePlugin",
            Point::QueueSort => "QueueSortPlugin",
            Point::PreFilter => "PreFilterPlugin",
            Point::Filter => "FilterPlugin",
            Point::PostFilter => "PostFilterPlugin",
            Point::PreScore => "PreScorePlugin",
            Point::Score => "ScorePlugin",
            Point::Reserve => "ReservePlugin",
            Point::Permit => "PermitPlugin",
            Point::PreBind => "PreBindPlugin",
            Point::Bind => "BindPlugin",
            Point::PostBind => "PostBindPlugin",
        }
    }
}

/// A plugin as a profile may take it: at some or all of the extension points at which it can take part.
pub struct Offer {
    pub(super) name: &'static str,
    pub(super) hint: Arc<dyn AnyHint>,
    pub(super) parts: Parts,
    points: Vec<Point>,
}

/// What takes part at each extension point; it is taken out once.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) pre_enqueue: Option<Box<dyn AnyPreEnqueue>>,
    pub(super) queue_sort: Option<Box<dyn QueueSort>>,
    pub(super) filter: Option<Box<dyn AnyFilter>>,
    pub(super) post_filter: Option<Box<dyn AnyPostFilter>>,
    pub(super) score: Option<Box<dyn AnyScore>>,
    pub(super) reserve: Option<Box<dyn AnyReserve>>,
    pub(super) permit: Option<Box<dyn AnyPermit>>,
    pub(super) pre_bind: Option<Box<dyn AnyReserve>>,
    pub(super) bind: Option<Box<dyn AnyBind>>,
    pub(super) post_bind: Option<Box<dyn AnyPostBind>>,
}

impl Offer {
    /// The plugin's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the plugin can take part at an extension point.
    pub fn extends(&self, point: Point) -> bool {
        self.points.contains(&point)
    }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer")
            .field("name", &self.name)
            .field("points", &self.points)
            .finish_non_exhaustive()
    }
}

/// An offer that is being made.
pub struct Offering<P> {
    plugin: Arc<P>,
    offer: Offer,
}

impl<P: Plugin> Offering<P> {
    /// A plugin, at no extension point yet.
    pub fn new(plugin: P) -> Offering<P> {
        let plugin = Arc::new(plugin);
        let hint: Arc<dyn AnyHint> = Arc::new(Arc::clone(&plugin));
        let offer = Offer { name: P::NAME, hint, parts: Parts::default(), points: Vec::new() };
        Offering { plugin, offer }
    }

    /// The offer.
    pub fn offer(self) -> Offer {
        self.offer
    }

    fn at(mut self, points: &[Point], part: impl FnOnce(&mut Parts, Arc<P>)) -> Offering<P> {
        self.offer.points.extend_from_slice(points);
        part(&mut self.offer.parts, Arc::clone(&self.plugin));
        self
    }

    /// It decides whether pods may be tried.
    #[must_use]
    pub fn pre_enqueues(self) -> Offering<P>
    where
        P: PreEnqueue,
    {
        self.at(&[Point::PreEnqueue], |parts, plugin| parts.pre_enqueue = Some(Box::new(plugin)))
    }

    /// It orders the queue, as `sort` does.
    #[must_use]
    pub fn sorts(self, sort: impl QueueSort) -> Offering<P> {
        self.at(&[Point::QueueSort], |parts, _| parts.queue_sort = Some(Box::new(sort)))
    }

    /// It prepares decisions and filters.
    #[must_use]
    pub fn filters(self) -> Offering<P>
    where
        P: Filter,
    {
        self.at(&[Point::PreFilter], |_, _| {}).only_filters()
    }

    /// It filters, and upstream's has nothing to prepare.
    #[must_use]
    pub fn only_filters(self) -> Offering<P>
    where
        P: Filter,
    {
        self.at(&[Point::Filter], |parts, plugin| parts.filter = Some(Box::new(plugin)))
    }

    /// It has the last word.
    #[must_use]
    pub fn post_filters(self) -> Offering<P>
    where
        P: PostFilter,
    {
        self.at(&[Point::PostFilter], |parts, plugin| parts.post_filter = Some(Box::new(plugin)))
    }

    /// It prepares scores and scores.
    #[must_use]
    pub fn scores(self) -> Offering<P>
    where
        P: Score,
    {
        self.at(&[Point::PreScore], |_, _| {}).only_scores()
    }

    /// It scores, and upstream's has nothing to prepare.
    #[must_use]
    pub fn only_scores(self) -> Offering<P>
    where
        P: Score,
    {
        self.at(&[Point::Score], |parts, plugin| parts.score = Some(Box::new(plugin)))
    }

    /// It reserves.
    #[must_use]
    pub fn reserves(self) -> Offering<P>
    where
        P: Reserve,
    {
        self.at(&[Point::Reserve], |parts, plugin| parts.reserve = Some(Box::new(Reserves(plugin))))
    }

    /// It has something to do before the binding.
    #[must_use]
    pub fn pre_binds(self) -> Offering<P>
    where
        P: PreBind,
    {
        self.at(&[Point::PreBind], |parts, plugin| parts.pre_bind = Some(Box::new(PreBinds(plugin))))
    }

    /// It permits.
    #[must_use]
    pub fn permits(self) -> Offering<P>
    where
        P: Permit,
    {
        self.at(&[Point::Permit], |parts, plugin| parts.permit = Some(Box::new(plugin)))
    }

    /// It binds.
    #[must_use]
    pub fn binds(self) -> Offering<P>
    where
        P: Bind,
    {
        self.at(&[Point::Bind], |parts, plugin| parts.bind = Some(Box::new(plugin)))
    }

    /// It is notified of bindings.
    #[must_use]
    pub fn post_binds(self) -> Offering<P>
    where
        P: PostBind,
    {
        self.at(&[Point::PostBind], |parts, plugin| parts.post_bind = Some(Box::new(plugin)))
    }
}
