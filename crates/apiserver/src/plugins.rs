//! The admission plugins of a server.

use std::sync::Arc;

use clock::Clock;
use metrics::Exposition;

use crate::admission::configuration::Configuration;
use crate::admission::{
    AlwaysPullImages, Certificates, Chain, ClaimResize, DeclaredFeatures, DefaultIngressClass,
    DefaultStorageClass, DefaultTolerationSeconds, DenyServiceExternalIps, EventRateLimit,
    ExtendedResourceToleration, Judge, LimitPodHardAntiAffinityTopology, LimitRanger, ManifestError,
    ManifestMetrics, Manifests, MutatingPolicies, MutatingWebhooks, NamespaceAutoProvision, NamespaceExists,
    NamespaceLifecycle, NodeRestriction, OwnerReferences, Plugin, PodNodeSelector, PodPriority, PodResize,
    PodSecurity, PodTolerationRestriction, ResourceQuota, RuntimeClass, Selection, ServiceAccountAdmission,
    TaintNodesByCondition, TopologyLabels, ValidatingPolicies, ValidatingWebhooks, Webhooks,
};

/// Before this one are those that come from outside: after it only others from outside decide, and quotas.
const FIRST_OF_LAST: &str = "MutatingAdmissionPolicy";

/// What plugins are made of.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) judge: Judge,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) configuration: Configuration,
    pub(crate) manifests: Manifests,
}

impl Parts {
    /// The metrics of manifests are registered there.
    pub(crate) fn new(
        clock: Clock,
        judge: Judge,
        webhooks: Arc<Webhooks>,
        configuration: Configuration,
        exposition: &Exposition,
    ) -> Parts {
        let metrics = ManifestMetrics::new(exposition, clock.clone());
        let manifests = Manifests { directories: configuration.manifests.clone(), metrics };
        Parts { clock, judge, webhooks, configuration, manifests }
    }
}

/// The plugins that are on, in upstream's order. Those that come from outside follow the built-in ones, then policies and
/// webhooks; the last one charges quotas, only for what all others accept.
///
/// # Errors
/// The manifests of a plugin that is on cannot be used.
pub(crate) fn chain(
    parts: &Parts,
    selection: &Selection,
    more: Vec<Arc<dyn Plugin>>,
) -> Result<Chain, ManifestError> {
    let names: Vec<&str> = selection.names().collect();
    let last = [
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
        "ResourceQuota",
    ];
    let is_last = |name: &&str| *name == FIRST_OF_LAST || last.contains(name);
    let (last, first): (Vec<&str>, Vec<&str>) = names.into_iter().partition(is_last);
    let make = |names: Vec<&str>| {
        names.into_iter().filter_map(|name| plugin(name, parts).transpose()).collect::<Result<Vec<_>, _>>()
    };
    let mut plugins = make(first)?;
    plugins.extend(more);
    plugins.extend(make(last)?);
    Ok(Chain::new(plugins))
}

/// A plugin by its name.
fn plugin(name: &str, parts: &Parts) -> Result<Option<Arc<dyn Plugin>>, ManifestError> {
    let Parts { clock, judge, webhooks, configuration, manifests } = parts;
    let authorizer = || Arc::clone(&judge.authorizer);
    let gate = || Arc::clone(webhooks.gate());
    Ok(Some(match name {
        "NamespaceAutoProvision" => Arc::new(NamespaceAutoProvision),
        "NamespaceLifecycle" => Arc::new(NamespaceLifecycle),
        "NamespaceExists" => Arc::new(NamespaceExists),
        "LimitPodHardAntiAffinityTopology" => Arc::new(LimitPodHardAntiAffinityTopology),
        "LimitRanger" => Arc::new(LimitRanger),
        "ServiceAccount" => Arc::new(ServiceAccountAdmission { clock: clock.clone() }),
        "NodeRestriction" => Arc::new(NodeRestriction { authorizer: authorizer() }),
        "TaintNodesByCondition" => Arc::new(TaintNodesByCondition),
        "AlwaysPullImages" => Arc::new(AlwaysPullImages),
        "PodSecurity" => Arc::new(PodSecurity { config: configuration.pod_security.clone() }),
        "PodNodeSelector" => Arc::new(PodNodeSelector { selectors: configuration.node_selectors.clone() }),
        "Priority" => Arc::new(PodPriority),
        "DefaultTolerationSeconds" => Arc::new(DefaultTolerationSeconds),
        "PodTolerationRestriction" => {
            Arc::new(PodTolerationRestriction { config: configuration.tolerations.clone() })
        }
        "EventRateLimit" => Arc::new(EventRateLimit::new(configuration.event_limits.clone())),
        "ExtendedResourceToleration" => Arc::new(ExtendedResourceToleration),
        "DefaultStorageClass" => Arc::new(DefaultStorageClass),
        "OwnerReferencesPermissionEnforcement" => Arc::new(OwnerReferences { authorizer: authorizer() }),
        "PersistentVolumeClaimResize" => Arc::new(ClaimResize),
        "RuntimeClass" => Arc::new(RuntimeClass),
        "CertificateApproval" => Arc::new(Certificates { authorizer: authorizer() }),
        "DefaultIngressClass" => Arc::new(DefaultIngressClass),
        "DenyServiceExternalIPs" => Arc::new(DenyServiceExternalIps),
        "PodTopologyLabels" => Arc::new(TopologyLabels),
        "NodeDeclaredFeatureValidator" => Arc::new(DeclaredFeatures),
        "PodResizeValidator" => Arc::new(PodResize),
        "MutatingAdmissionPolicy" => Arc::new(MutatingPolicies::new(judge.clone(), gate(), manifests)?),
        "MutatingAdmissionWebhook" => Arc::new(MutatingWebhooks::new(Arc::clone(webhooks), manifests)?),
        "ValidatingAdmissionPolicy" => Arc::new(ValidatingPolicies::new(judge.clone(), gate(), manifests)?),
        "ValidatingAdmissionWebhook" => Arc::new(ValidatingWebhooks::new(Arc::clone(webhooks), manifests)?),
        "ResourceQuota" => Arc::new(ResourceQuota::new(clock.clone(), configuration.resource_quota.clone())),
        _ => return Ok(None),
    }))
}
