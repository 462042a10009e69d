//! ValidatingAdmissionPolicy (`plugin/policy/validating`, KEP-3488).

use std::sync::Arc;

use async_trait::async_trait;
use object::{Reason, Status, Value};

use super::super::decisions::{COPY, Decisions, Judge};
use super::super::expression::{BUDGET, Evaluator, Seen};
use super::super::manifest::{Manifests, Owner, Source};
use super::super::matching::{Asked, View};
use super::super::{Attributes, Gate, ManifestError, Plugin};
use super::definition::{Annotation, Binding, Parts, Policy, Program, Validation};
use super::installed::{AllBound, Bound, Installed, of_manifests};
use super::{in_time, params, request};

/// How long a message may be that an expression makes, in bytes.
const MESSAGE_BYTES_MAX: usize = 5 << 10;

/// How many denials of one evaluation are told.
const DENIALS_MAX: usize = 100;

/// The plugin.
pub struct ValidatingPolicies {
    installed: Installed,
    judge: Judge,
}

/// Why a policy does not let a request pass.
struct Denial {
    message: String,
    /// Empty for `Invalid`.
    reason: Box<str>,
}

/// Denials of a policy, and the binding that they came by.
struct Denied<'p> {
    policy: &'p Policy,
    binding: Option<&'p Binding>,
    denial: Denial,
}

impl ValidatingPolicies {
    /// Until the gate is open, only policies from files are evaluated.
    ///
    /// # Errors
    /// The plugin's manifests cannot be used.
    pub(crate) fn new(
        judge: Judge,
        gate: Arc<Gate>,
        manifests: &Manifests,
    ) -> Result<ValidatingPolicies, ManifestError> {
        let manifests = Source::start(manifests, Owner::ValidatingPolicies, |loaded| {
            of_manifests(&loaded, Policy::validating)
        })?;
        let plurals = ("validatingadmissionpolicies", "validatingadmissionpolicybindings");
        Ok(ValidatingPolicies {
            installed: Installed::new(plurals, Policy::validating, manifests, gate),
            judge,
        })
    }
}

#[async_trait]
impl Plugin for ValidatingPolicies {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let Some(bound) = self.installed.bound(what) else { return Ok(()) };
        let asked = Asked::new(what);
        let decisions = Decisions::new(&self.judge, what);
        let dispatch = Dispatch { what, asked: &asked, object, old, decisions: &decisions };
        in_time(what.deadline, dispatch.policies(&bound)).await
    }
}

/// One request on its way through the policies.
struct Dispatch<'a> {
    what: &'a Attributes<'a>,
    asked: &'a Asked<'a>,
    object: &'a Value,
    old: &'a Value,
    decisions: &'a Decisions<'a>,
}

/// The first denial counts.
fn keep<'p>(denied: &mut Option<Denied<'p>>, new: Option<Denied<'p>>) {
    if denied.is_none() {
        *denied = new;
    }
}

impl Dispatch<'_> {
    async fn policies(&self, bound: &AllBound) -> Result<(), Status> {
        let mut denied = None;
        for bound in bound.iter() {
            self.policy(bound, &mut denied).await?;
        }
        match denied {
            None => Ok(()),
            Some(first) => Err(first.status(self.what)),
        }
    }

    async fn policy<'p>(&self, bound: &'p Bound, denied: &mut Option<Denied<'p>>) -> Result<(), Status> {
        let policy = &*bound.policy;
        let misconfigured = |binding: Option<&'p Binding>, why: String| {
            let part = if binding.is_some() { "binding" } else { "policy" };
            let denial = Denial { message: format!("failed to configure {part}: {why}"), reason: "".into() };
            (!policy.ignores_failures).then_some(Denied { policy, binding, denial })
        };
        let shape = match self.asked.shape_of(&policy.criteria, self.object, self.old).await {
            Ok(Some(shape)) => shape,
            Ok(None) => return Ok(()),
            Err(status) => {
                keep(denied, misconfigured(None, status.message));
                return Ok(());
            }
        };
        let mut seen = None;
        for binding in &bound.bindings {
            let matches = match &binding.criteria {
                None => Ok(true),
                Some(criteria) => {
                    self.asked.shape_of(criteria, self.object, self.old).await.map(|shape| shape.is_some())
                }
            };
            let params = match matches {
                Ok(false) => continue,
                Err(status) => Err(status.message),
                Ok(true) => params::collect(policy, binding, self.what, self.decisions).await,
            };
            let params = match params {
                Ok(params) => params,
                Err(why) => {
                    keep(denied, misconfigured(Some(binding), why));
                    continue;
                }
            };
            let program = policy.program().await?;
            if seen.is_none() {
                self.decisions.pace(COPY).await;
                let mut view = View::new(self.asked, self.object, self.old);
                view.turn_to(self.asked, shape).await?;
                let version = request::InVersion::new(self.what, self.asked, view);
                seen = Some((version, request::namespace(self.what).await?));
            }
            let Some((version, namespace)) = &seen else { continue };
            for param in &params {
                match param.value(self.what).await {
                    Ok(params) => {
                        let seen = version.seen(namespace, &params);
                        let denials = self.evaluate(policy, &program, seen).await;
                        self.act(policy, binding, denials, denied);
                    }
                    Err(why) => keep(denied, misconfigured(Some(binding), why)),
                }
            }
        }
        Ok(())
    }

    /// Does what the binding says about denials.
    fn act<'p>(
        &self,
        policy: &'p Policy,
        binding: &'p Binding,
        denials: Vec<Denial>,
        denied: &mut Option<Denied<'p>>,
    ) {
        for denial in denials {
            if binding.actions.iter().any(|action| **action == *"Warn") {
                self.what.warnings.add(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    policy.name, binding.name, denial.message
                ));
            }
            if binding.actions.iter().any(|action| **action == *"Deny") {
                keep(denied, Some(Denied { policy, binding: Some(binding), denial }));
            }
        }
    }

    /// Evaluates a policy for one set of parameters.
    async fn evaluate(&self, policy: &Policy, program: &Program, seen: Seen<'_>) -> Vec<Denial> {
        let fails = |message: String| match policy.ignores_failures {
            true => Vec::new(),
            false => vec![Denial { message, reason: "".into() }],
        };
        let without_namespace = Seen { namespace: &Value::Null, ..seen };
        match policy.conditions.are_met(without_namespace, self.decisions).await {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(why) => return fails(why),
        }
        let Parts::Validating { validations, annotations } = &program.parts else { return Vec::new() };
        let ignores = policy.ignores_failures;
        let mut denials = match self.validations(program, validations, ignores, seen).await {
            Ok(denials) => denials,
            Err(why) => return fails(why),
        };
        match self.annotations(program, annotations, seen).await {
            Ok(failures) => denials.extend(failures.into_iter().flat_map(fails)),
            Err(why) => return fails(why),
        }
        denials
    }

    async fn validations(
        &self,
        program: &Program,
        validations: &[Validation],
        ignores_failures: bool,
        seen: Seen<'_>,
    ) -> Result<Vec<Denial>, String> {
        let mut evaluator = Evaluator::new(seen, &program.variables, self.decisions, BUDGET);
        let mut results = Vec::with_capacity(validations.len());
        for validation in validations {
            results
                .push(evaluator.evaluate(&validation.expression).await.map_err(|error| error.to_string())?);
        }
        let mut messages = Evaluator::new(seen, &program.variables, self.decisions, evaluator.left());
        let mut denials = Vec::new();
        for (validation, result) in validations.iter().zip(results) {
            if denials.len() == DENIALS_MAX {
                break;
            }
            match result {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => denials.push(Denial {
                    message: message(validation, &mut messages).await,
                    reason: validation.reason.clone(),
                }),
                Err(why) if !ignores_failures => denials.push(Denial { message: why, reason: "".into() }),
                Err(_) => {}
            }
        }
        Ok(denials)
    }

    /// Evaluates annotations, which have nowhere to go as long as there is no audit log; their failures count.
    async fn annotations(
        &self,
        program: &Program,
        annotations: &[Annotation],
        seen: Seen<'_>,
    ) -> Result<Vec<String>, String> {
        let mut evaluator = Evaluator::new(seen, &program.variables, self.decisions, BUDGET);
        let mut failures = Vec::new();
        for annotation in annotations {
            let value =
                evaluator.evaluate(&annotation.expression).await.map_err(|error| error.to_string())?;
            failures.extend(value.err());
        }
        Ok(failures)
    }
}

/// What a client is told whose request breaks a validation.
async fn message<'v>(validation: &'v Validation, messages: &mut Evaluator<'v>) -> String {
    if let Some(expression) = &validation.message_expression {
        match messages.evaluate(expression).await {
            Ok(Ok(value)) => {
                let text = value.as_str().unwrap_or_default().trim();
                if !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n') {
                    return text.to_owned();
                }
            }
            Ok(Err(_)) => {}
            Err(error) => return format!("failed messageExpression: {error}"),
        }
    }
    match validation.message.trim() {
        "" => format!("failed expression: {}", validation.text.trim()),
        message => message.to_owned(),
    }
}

impl Denied<'_> {
    fn status(&self, what: &Attributes<'_>) -> Status {
        let (policy, message) = (&self.policy.name, &self.denial.message);
        let message = match self.binding {
            Some(binding) => format!(
                "ValidatingAdmissionPolicy '{policy}' with binding '{}' denied request: {message}",
                binding.name
            ),
            None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
        };
        let (reason, code) = match &*self.denial.reason {
            "Forbidden" => (Reason::Forbidden, 403),
            "Unauthorized" => (Reason::Unauthorized, 401),
            "RequestEntityTooLarge" => (Reason::RequestEntityTooLarge, 413),
            _ => (Reason::Invalid, 422),
        };
        super::refusal(what, &message, reason, code)
    }
}
