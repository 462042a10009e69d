//! MutatingAdmissionPolicy (`plugin/policy/mutating`, KEP-3962).

use std::sync::Arc;

use async_trait::async_trait;
use cel::Meter;
use object::{Cause, Details, Reason, Status, Value};

use super::super::decisions::{COPY, Decisions, Judge};
use super::super::expression::{BUDGET, Compiled, Evaluator};
use super::super::manifest::{Manifests, Owner, Source};
use super::super::matching::{Asked, View};
use super::super::{Attributes, Gate, ManifestError, Plugin, Shape};
use super::definition::{Binding, Mutation, Parts, Policy, Program};
use super::installed::{AllBound, Bound, Installed, of_manifests};
use super::params::{self, Param};
use super::{apply, in_time, request};

/// How many failures are told.
const FAILURES_MAX: usize = 100;
/// How many sets of parameters there may be for a request, over all bindings: they are looked up before the first one is
/// used, and all of them at once are in memory.
const INVOCATIONS_MAX: usize = 10_000;

/// The plugin.
pub struct MutatingPolicies {
    installed: Installed,
    judge: Judge,
}

/// A policy that is evaluated for a request, by one of its bindings and with one set of parameters.
struct Invocation<'p> {
    policy: &'p Policy,
    binding: &'p Binding,
    shape: &'p Shape,
    param: Param,
    /// Policy, binding and parameters.
    id: Arc<str>,
}

/// Why a policy could not do its work.
struct Failure {
    policy: Box<str>,
    binding: Option<Box<str>>,
    why: String,
}

impl MutatingPolicies {
    /// Until the gate is open, only policies from files are evaluated.
    ///
    /// # Errors
    /// The plugin's manifests cannot be used.
    pub(crate) fn new(
        judge: Judge,
        gate: Arc<Gate>,
        manifests: &Manifests,
    ) -> Result<MutatingPolicies, ManifestError> {
        let manifests = Source::start(manifests, Owner::MutatingPolicies, |loaded| {
            of_manifests(&loaded, Policy::mutating)
        })?;
        let plurals = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings");
        Ok(MutatingPolicies { installed: Installed::new(plurals, Policy::mutating, manifests, gate), judge })
    }
}

#[async_trait]
impl Plugin for MutatingPolicies {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        let Some(bound) = self.installed.bound(what) else { return Ok(()) };
        in_time(what.deadline, self.admit_all(&bound, what, object, old)).await
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    fn unsettles(&self, what: &Attributes<'_>) -> bool {
        self.installed.bound(what).is_some()
    }
}

impl MutatingPolicies {
    async fn admit_all(
        &self,
        bound: &AllBound,
        what: &Attributes<'_>,
        object: &mut Value,
        old: &Value,
    ) -> Result<(), Status> {
        let asked = Asked::new(what);
        let rounds = &what.rounds.policies;
        if rounds.is_second() {
            rounds.resume(object);
        }
        let decisions = Decisions::new(&self.judge, what);
        let mut relevant = Relevant::default();
        for bound in bound.iter() {
            relevant.add(bound, &asked, object, old, &decisions).await;
        }
        let Relevant { invocations, mut failures } = relevant;
        if !invocations.is_empty() {
            let namespace = request::namespace(what).await?;
            let mut view = View::new(&asked, object, old);
            for invocation in &invocations {
                if rounds.is_second() && !rounds.is_outdated(&invocation.id) {
                    continue;
                }
                view.turn_to(&asked, invocation.shape).await?;
                let mutated = mutate(invocation, view, &asked, &namespace, &decisions).await?;
                view = mutated.view;
                let more = FAILURES_MAX.saturating_sub(failures.len());
                failures.extend(mutated.failures.into_iter().take(more));
                if mutated.is_changed {
                    rounds.changed();
                }
                if mutated.was_met && invocation.policy.wants_reinvocation {
                    rounds.asked(&invocation.id);
                }
            }
            if view.is_changed {
                view.turn_to(&asked, &asked.own).await?;
                *object = view.object;
            }
        }
        rounds.end(object);
        match failures.is_empty() {
            true => Ok(()),
            false => Err(refusal(what, &failures)),
        }
    }
}

/// What is evaluated for a request, in its order.
#[derive(Default)]
struct Relevant<'p> {
    invocations: Vec<Invocation<'p>>,
    failures: Vec<Failure>,
}

impl<'p> Relevant<'p> {
    /// Adds the invocations of a policy.
    async fn add(
        &mut self,
        bound: &'p Bound,
        asked: &'p Asked<'_>,
        object: &Value,
        old: &Value,
        decisions: &Decisions<'_>,
    ) {
        let policy = &*bound.policy;
        let shape = match asked.shape_of(&policy.criteria, object, old).await {
            Ok(Some(shape)) => shape,
            Ok(None) => return,
            Err(status) => return self.fail(policy, None, status.message),
        };
        for binding in &bound.bindings {
            let matches = match &binding.criteria {
                None => Ok(true),
                Some(criteria) => asked.shape_of(criteria, object, old).await.map(|shape| shape.is_some()),
            };
            let params = match matches {
                Ok(false) => continue,
                Err(status) => Err(status.message),
                Ok(true) => params::collect(policy, binding, asked.what, decisions).await,
            };
            match params {
                Err(why) => self.fail(policy, Some(binding), why),
                Ok(params) if self.invocations.len() + params.len() > INVOCATIONS_MAX => {
                    let why = format!(
                        "the bindings for the request have more than {INVOCATIONS_MAX} sets of parameters together"
                    );
                    self.fail(policy, Some(binding), why);
                }
                Ok(params) => self.invocations.extend(params.into_iter().map(|param| {
                    let id = format!("{}/{}/{}", policy.name, binding.name, param.place()).into();
                    Invocation { policy, binding, shape, param, id }
                })),
            }
            decisions.pace(0).await;
        }
    }

    /// A failure counts unless the policy ignores it.
    fn fail(&mut self, policy: &Policy, binding: Option<&Binding>, why: String) {
        if !policy.ignores_failures && self.failures.len() < FAILURES_MAX {
            let binding = binding.map(|binding| binding.name.clone());
            self.failures.push(Failure { policy: policy.name.clone(), binding, why });
        }
    }
}

/// What an invocation has done.
struct Mutated {
    view: View,
    is_changed: bool,
    /// Whether the conditions of the policy were met.
    was_met: bool,
    failures: Vec<Failure>,
}

async fn mutate(
    invocation: &Invocation<'_>,
    view: View,
    asked: &Asked<'_>,
    namespace: &Value,
    decisions: &Decisions<'_>,
) -> Result<Mutated, Status> {
    let Invocation { policy, binding, param, .. } = invocation;
    let program = policy.program().await?;
    let mut version = request::InVersion::new(asked.what, asked, view);
    let mut failures = Vec::new();
    let failed = |why: String| {
        let binding = Some(binding.name.clone());
        (!policy.ignores_failures).then(|| Failure { policy: policy.name.clone(), binding, why })
    };
    let params = match param.value(asked.what).await {
        Ok(params) => params,
        Err(why) => {
            let failures = failed(why).into_iter().collect();
            return Ok(Mutated { view: version.view, is_changed: false, was_met: false, failures });
        }
    };
    let was_met = match policy.conditions.are_met(version.seen(&Value::Null, &params), decisions).await {
        Ok(met) => met,
        Err(why) => {
            failures.extend(failed(why));
            false
        }
    };
    let mut is_changed = false;
    if let Parts::Mutating(mutations) = &program.parts
        && was_met
        && !version.view.object.is_null()
    {
        for mutation in mutations {
            // Each copies the object.
            decisions.pace(COPY).await;
            match patched(mutation, &program, &version, namespace, &params, decisions, asked.what).await {
                Ok(None) => {}
                Ok(Some(object)) => {
                    let object = apply::complete(object, &version.view, asked.what)?;
                    is_changed |= object != version.view.object;
                    version.view.object = object;
                }
                Err(why) if failures.len() < FAILURES_MAX => failures.extend(failed(why)),
                Err(_) => {}
            }
        }
    }
    version.view.is_changed |= is_changed;
    Ok(Mutated { view: version.view, is_changed, was_met, failures })
}

/// The object as a mutation wants it; none if it wants no change.
async fn patched(
    mutation: &Mutation,
    program: &Program,
    version: &request::InVersion,
    namespace: &Value,
    params: &Value,
    decisions: &Decisions<'_>,
    what: &Attributes<'_>,
) -> Result<Option<Value>, String> {
    let mut evaluator =
        Evaluator::new(version.seen(namespace, params), &program.variables, decisions, BUDGET);
    match mutation {
        Mutation::Apply(expression) => {
            let config = tree(expression, &mut evaluator).await?;
            apply::configuration(config, &version.view, what).map(Some)
        }
        Mutation::JsonPatch(expression) => {
            let operations = tree(expression, &mut evaluator).await?;
            apply::json_patch(operations, &version.view)
        }
    }
}

/// The value of an expression as part of an object.
async fn tree<'v>(expression: &'v Compiled, evaluator: &mut Evaluator<'v>) -> Result<Value, String> {
    let value = evaluator.evaluate(expression).await.map_err(|error| error.to_string())??;
    let mut meter = Meter::new(evaluator.left());
    value.check_message_names(&mut meter).map_err(|why| format!("type mismatch: {why}"))?;
    value.to_tree(&mut meter).map_err(|error| error.to_string())
}

/// The refusal of a request by policies that could not do their work.
fn refusal(what: &Attributes<'_>, failures: &[Failure]) -> Status {
    let messages: Vec<String> = failures.iter().map(Failure::message).collect();
    let first = messages.first().cloned().unwrap_or_default();
    let mut status = what.forbidden("admission request denied by policy");
    status.message = first;
    status.reason = Reason::Invalid;
    let details = status.details.get_or_insert_with(Box::<Details>::default);
    details.causes.extend(messages.into_iter().map(|message| Cause { message, ..Cause::default() }));
    status
}

impl Failure {
    fn message(&self) -> String {
        let Failure { policy, binding, why } = self;
        match binding {
            Some(binding) => format!("policy '{policy}' with binding '{binding}' denied request: {why}"),
            None => format!("policy {policy:?} denied request: {why}"),
        }
    }
}
