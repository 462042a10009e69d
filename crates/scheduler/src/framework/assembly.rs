//! Profiles that are put together from lists of plugins.

use super::offer::{Offer, Point};
use super::profile::Profile;

/// The plugins of an extension point, in their order: each by its name, with the weight of its scores.
pub type Lineup = (Point, Vec<(String, i64)>);

impl Profile {
    /// A profile with these plugins at these extension points. `None` if no plugin orders the queue.
    pub fn assemble(name: &str, mut offers: Vec<Offer>, lineups: &[Lineup]) -> Option<Profile> {
        let mut sort = None;
        for (point, plugins) in lineups {
            if *point == Point::QueueSort {
                let (first, _) = plugins.first()?;
                let offer = offers.iter_mut().find(|offer| offer.name() == first)?;
                sort = offer.parts.queue_sort.take();
            }
        }
        let mut profile = Profile::sorted(name, sort?);
        for (point, plugins) in lineups {
            for (plugin, weight) in plugins {
                if let Some(offer) = offers.iter_mut().find(|offer| offer.name() == plugin) {
                    profile.take(*point, offer, *weight);
                }
            }
        }
        Some(profile)
    }
}
