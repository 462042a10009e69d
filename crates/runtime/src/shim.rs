//! The process that stays with a pod's containers.
