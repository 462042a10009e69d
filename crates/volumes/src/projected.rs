//! Projections: files made from ConfigMaps, Secrets, pod fields and service account tokens.
//!
//! `projected` volumes name their sources; `configMap`, `secret` and `downwardAPI` volumes are projections with one
//! source, in directories with their own names.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use client::Client;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, Pod, SecretProjection,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use crate::lane::blocking;
use crate::ownership::FsGroup;
use crate::payload::{self, File, Payload};
use crate::plugin::{Mounted, Publish, VolumePlugin};
use crate::token::Tokens;
use crate::{ObjectCache, VolumeError, atomic_writer, downward, mount, ownership};

#[cfg(test)]
mod tests;

/// The mode of files if the volume does not set one.
const DEFAULT_MODE: u32 = 0o644;
/// How long a token is valid if the volume does not say.
const TOKEN_SECONDS: i64 = 3600;

/// The sources of a volume, and the mode of its files.
struct Sources {
    sources: Vec<VolumeProjection>,
    default_mode: Option<i32>,
}

/// The plugin of one kind of projection.
pub(crate) struct Projected {
    directory: &'static str,
    sources: fn(&Volume) -> Option<Sources>,
    client: Client,
    objects: Arc<ObjectCache>,
    tokens: Tokens,
}

impl Projected {
    /// `configMap` volumes.
    pub(crate) fn config_map(client: Client, objects: Arc<ObjectCache>) -> Projected {
        Projected::new("kubernetes.io~configmap", client, objects, |volume| {
            let source = volume.config_map.as_ref()?;
            let projection = ConfigMapProjection {
                items: source.items.clone(),
                name: source.name.clone(),
                optional: source.optional,
            };
            let projection = VolumeProjection { config_map: Some(projection), ..Default::default() };
            Some(Sources { sources: vec![projection], default_mode: source.default_mode })
        })
    }

    /// `secret` volumes.
    pub(crate) fn secret(client: Client, objects: Arc<ObjectCache>) -> Projected {
        Projected::new("kubernetes.io~secret", client, objects, |volume| {
            let source = volume.secret.as_ref()?;
            let projection = SecretProjection {
                items: source.items.clone(),
                name: source.secret_name.clone().unwrap_or_default(),
                optional: source.optional,
            };
            let projection = VolumeProjection { secret: Some(projection), ..Default::default() };
            Some(Sources { sources: vec![projection], default_mode: source.default_mode })
        })
    }

    /// `downwardAPI` volumes.
    pub(crate) fn downward_api(client: Client, objects: Arc<ObjectCache>) -> Projected {
        Projected::new("kubernetes.io~downward-api", client, objects, |volume| {
            let source = volume.downward_api.as_ref()?;
            let projection = DownwardAPIProjection { items: source.items.clone() };
            let projection = VolumeProjection { downward_api: Some(projection), ..Default::default() };
            Some(Sources { sources: vec![projection], default_mode: source.default_mode })
        })
    }

    /// `projected` volumes.
    pub(crate) fn of_sources(client: Client, objects: Arc<ObjectCache>) -> Projected {
        Projected::new("kubernetes.io~projected", client, objects, |volume| {
            let source = volume.projected.as_ref()?;
            let sources = source.sources.clone().unwrap_or_default();
            Some(Sources { sources, default_mode: source.default_mode })
        })
    }

    fn new(
        directory: &'static str,
        client: Client,
        objects: Arc<ObjectCache>,
        sources: fn(&Volume) -> Option<Sources>,
    ) -> Projected {
        Projected { directory, sources, tokens: Tokens::new(client.clone()), client, objects }
    }

    /// All files of a volume, and when a token among them must be renewed.
    async fn collect(
        &self,
        request: &Publish<'_>,
        sources: &Sources,
    ) -> Result<(Payload, Option<Timestamp>), VolumeError> {
        let default_mode = payload::mode(sources.default_mode, DEFAULT_MODE);
        let mut all = Payload::new();
        let mut refresh_at = None;
        for source in &sources.sources {
            if let Some(source) = &source.config_map {
                all.extend(self.of_config_map(request, source, default_mode).await?);
            }
            if let Some(source) = &source.secret {
                all.extend(self.of_secret(request, source, default_mode).await?);
            }
            if let Some(source) = &source.downward_api {
                all.extend(of_pod(request, source.items.as_deref().unwrap_or_default(), default_mode)?);
            }
            if let Some(source) = &source.service_account_token {
                let (path, file, renew_at) = self.of_account(request, source, default_mode).await?;
                all.insert(path, file);
                refresh_at = refresh_at.into_iter().chain([renew_at]).min();
            }
            if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
                return Err(VolumeError::Invalid(
                    "projections of cluster trust bundles and pod certificates are not supported".to_owned(),
                ));
            }
        }
        Ok((all, refresh_at))
    }

    async fn of_config_map(
        &self,
        request: &Publish<'_>,
        source: &ConfigMapProjection,
        default_mode: u32,
    ) -> Result<Payload, VolumeError> {
        let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
        let optional = source.optional == Some(true);
        let map = match self.objects.config_map(namespace, &source.name).await {
            Err(VolumeError::NotFound { .. }) if optional => return Ok(Payload::new()),
            found => found?,
        };
        let items = source.items.as_deref().unwrap_or_default();
        payload::project(&payload::config_map_data(&map), items, default_mode, optional, "config")
    }

    async fn of_secret(
        &self,
        request: &Publish<'_>,
        source: &SecretProjection,
        default_mode: u32,
    ) -> Result<Payload, VolumeError> {
        let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
        let optional = source.optional == Some(true);
        let secret = match self.objects.secret(namespace, &source.name).await {
            Err(VolumeError::NotFound { .. }) if optional => return Ok(Payload::new()),
            found => found?,
        };
        let items = source.items.as_deref().unwrap_or_default();
        payload::project(&payload::secret_data(&secret), items, default_mode, optional, "secret")
    }

    async fn of_account(
        &self,
        request: &Publish<'_>,
        source: &ServiceAccountTokenProjection,
        default_mode: u32,
    ) -> Result<(String, File, Timestamp), VolumeError> {
        let audience = source.audience.as_deref().unwrap_or_default();
        let seconds = source.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        let token = self.tokens.get(request.pod, audience, seconds).await.map_err(VolumeError::Token)?;
        let file = token_file(token.text, request.pod, request.fs_group, default_mode);
        Ok((payload::clean(&source.path)?, file, token.renew_at))
    }
}

/// A token's file. The container's user must be able to read it: it belongs to that user if all containers agree on one,
/// and to the group (whose rights are added with it) if the pod has one, as upstream.
fn token_file(text: String, pod: &Pod, fs_group: Option<FsGroup>, default_mode: u32) -> File {
    let uid = common_user(pod);
    let mode = if uid.is_some() || fs_group.is_some() { 0o600 } else { default_mode };
    File { data: text.into_bytes(), mode, uid }
}

/// The user that all containers of the pod run as, if they agree on one.
fn common_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut users = containers.map(|container| {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

fn of_pod(
    request: &Publish<'_>,
    items: &[DownwardAPIVolumeFile],
    default_mode: u32,
) -> Result<Payload, VolumeError> {
    let mut files = Payload::new();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(selector), _) => downward::field(request.pod, &selector.field_path)?,
            (None, Some(selector)) => downward::resource(request.pod, request.node, selector, None)?,
            (None, None) => continue,
        };
        let file = File { data: text.into_bytes(), mode: payload::mode(item.mode, default_mode), uid: None };
        files.insert(payload::clean(&item.path)?, file);
    }
    Ok(files)
}

#[async_trait]
impl VolumePlugin for Projected {
    fn directory(&self) -> &'static str {
        self.directory
    }

    fn supports(&self, volume: &Volume) -> bool {
        (self.sources)(volume).is_some()
    }

    async fn publish(&self, request: Publish<'_>) -> Result<Mounted, VolumeError> {
        let sources = (self.sources)(request.volume).ok_or(VolumeError::NoPlugin)?;
        let (files, refresh_at) = self.collect(&request, &sources).await?;
        let (path, now, fs_group) =
            (request.directory.to_owned(), self.client.clock().now(), request.fs_group);
        blocking(move || {
            let is_mount = make_directory(&path)?;
            atomic_writer::write(&path, &files, now, |fresh| match fs_group {
                Some(group) => ownership::give_to(fresh, group, true),
                None => Ok(()),
            })?;
            Ok(Mounted { path, is_mount, read_only: true, refresh_at })
        })
        .await
    }
}

/// Makes the volume's directory. It is a tmpfs where mounting is allowed, so that secrets and tokens do not
/// reach the disk; says whether it is.
fn make_directory(path: &Path) -> Result<bool, VolumeError> {
    if !path.exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.map_err(VolumeError::io("make", path))?;
    }
    let may_mount = rustix::process::geteuid().is_root();
    if may_mount && !mount::is_mount_point(path).map_err(VolumeError::io("look at", path))? {
        mount::mount_tmpfs(path, None)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
        .map_err(VolumeError::io("set the mode of", path))?;
    Ok(may_mount)
}
