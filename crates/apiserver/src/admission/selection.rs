//! Which plugins there are, in upstream's order (`AllOrderedPlugins`), and which of them are on.

use std::collections::BTreeSet;

/// Whether a plugin is on unless somebody says otherwise, and what can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// It is on and stays so: a part of the server does what it does.
    Always,
    /// There is none: what it is about is not here. Upstream has it on.
    Missing,
    /// There is none, and upstream has it off.
    Absent,
}

use Standing::{Absent, Always, Missing, Off, On};

/// All plugins, in their order. NodeRestriction is off by default upstream, where those who install a cluster turn it on.
const ALL: [(&str, Standing); 41] = [
    ("AlwaysAdmit", Absent),
    ("NamespaceAutoProvision", Off),
    ("NamespaceLifecycle", On),
    ("NamespaceExists", Off),
    ("LimitPodHardAntiAffinityTopology", Off),
    ("LimitRanger", On),
    ("ServiceAccount", On),
    ("NodeRestriction", On),
    ("TaintNodesByCondition", On),
    ("AlwaysPullImages", Off),
    ("ImagePolicyWebhook", Absent),
    ("PodSecurity", On),
    ("PodNodeSelector", Off),
    ("Priority", On),
    ("DefaultTolerationSeconds", On),
    ("PodTolerationRestriction", Off),
    ("EventRateLimit", Off),
    ("ExtendedResourceToleration", Off),
    ("DefaultStorageClass", On),
    ("StorageObjectInUseProtection", Missing),
    ("PodGroupProtection", Missing),
    ("OwnerReferencesPermissionEnforcement", Off),
    ("PersistentVolumeClaimResize", On),
    ("RuntimeClass", On),
    ("CertificateApproval", On),
    // Those of certificates are one plugin; the third is a guard, which every write passes.
    ("CertificateSigning", Always),
    ("ClusterTrustBundleAttest", Always),
    ("CertificateSubjectRestriction", Always),
    ("DefaultIngressClass", On),
    ("DenyServiceExternalIPs", Off),
    ("PodTopologyLabels", On),
    ("PodGroupWorkloadExists", Missing),
    ("NodeDeclaredFeatureValidator", On),
    ("JobValidation", Missing),
    ("PodResizeValidator", On),
    ("MutatingAdmissionPolicy", On),
    ("MutatingAdmissionWebhook", On),
    ("ValidatingAdmissionPolicy", On),
    ("ValidatingAdmissionWebhook", On),
    ("ResourceQuota", On),
    ("AlwaysDeny", Absent),
];

/// The plugins that are turned on and off.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    enabled: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

impl Selection {
    /// Reads the names of plugins that are turned on and off.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(enabled: &[String], disabled: &[String]) -> Result<Selection, String> {
        for (flag, names) in [("enable", enabled), ("disable", disabled)] {
            for name in names {
                let known = ALL.iter().find(|(known, _)| known == name);
                let (_, standing) =
                    known.ok_or_else(|| format!("{flag}-admission-plugins plugin {name:?} is unknown"))?;
                match (flag, standing) {
                    ("enable", Absent | Missing) => return Err(format!("there is no plugin {name} here")),
                    ("disable", Always) => return Err(format!("the plugin {name} cannot be disabled here")),
                    _ => {}
                }
            }
        }
        let [enabled, disabled] =
            [enabled, disabled].map(|names| names.iter().cloned().collect::<BTreeSet<_>>());
        let both: Vec<&str> = enabled.intersection(&disabled).map(String::as_str).collect();
        if !both.is_empty() {
            let both = both.join(" ");
            return Err(format!(
                "[{both}] in enable-admission-plugins and disable-admission-plugins overlapped"
            ));
        }
        Ok(Selection { enabled, disabled })
    }

    /// The names of the plugins that are on, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let is_on = |(name, standing): &&(&'static str, Standing)| match standing {
            On => !self.disabled.contains(*name),
            Off => self.enabled.contains(*name),
            Always | Missing | Absent => false,
        };
        ALL.iter().filter(is_on).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(enabled: &[&str], disabled: &[&str]) -> Result<Selection, String> {
        let [enabled, disabled] =
            [enabled, disabled].map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        Selection::read(&enabled, &disabled)
    }

    #[test]
    fn plugins_are_turned_on_and_off() {
        let names = |selection: &Selection| selection.names().collect::<Vec<_>>();
        let default = names(&Selection::default());
        let changed = names(
            &read(&["AlwaysPullImages", "PodSecurity"], &["PodTopologyLabels", "EventRateLimit"]).unwrap(),
        );
        let (more, less): (Vec<&str>, Vec<&str>) = (
            changed.iter().filter(|name| !default.contains(name)).copied().collect(),
            default.iter().filter(|name| !changed.contains(name)).copied().collect(),
        );
        assert_eq!((more, less), (vec!["AlwaysPullImages"], vec!["PodTopologyLabels"]));
        let place = |name| changed.iter().position(|known| *known == name);
        assert!(place("TaintNodesByCondition") < place("AlwaysPullImages"));
        assert!(place("AlwaysPullImages") < place("PodSecurity"));
    }

    #[test]
    fn mistakes_are_named() {
        for (enabled, disabled, why) in [
            (&["Nonsense"][..], &[][..], "enable-admission-plugins plugin \"Nonsense\" is unknown"),
            (&[], &["Nonsense"], "disable-admission-plugins plugin \"Nonsense\" is unknown"),
            (
                &["Priority", "LimitRanger"],
                &["LimitRanger", "Priority"],
                "[LimitRanger Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
            ),
            (&["ImagePolicyWebhook"], &[], "there is no plugin ImagePolicyWebhook here"),
            (&[], &["CertificateSigning"], "the plugin CertificateSigning cannot be disabled here"),
        ] {
            assert_eq!(read(enabled, disabled).unwrap_err(), why);
        }
    }
}
