use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::authorizer::aggregate;
use super::*;

/// The behaviour of a member of a test's chain.
#[derive(Clone, Copy)]
enum Does {
    Allow(&'static str),
    Deny(&'static str),
    Pass(&'static str),
    /// Allows after a second.
    AllowLater,
    Fail(OnFailure),
    /// Never answers.
    Hang(OnFailure),
}

struct Member(Does, AtomicUsize);

impl Authorizer for Member {
    fn kind(&self) -> &'static str {
        "Test"
    }

    fn authorize<'a>(&'a self, _what: &'a Attributes<'a>) -> Reply<'a> {
        self.1.fetch_add(1, Ordering::Relaxed);
        match self.0 {
            Does::Allow(why) => Reply::Now(Decision::Allow(why.into())),
            Does::Deny(why) => Reply::Now(Decision::Deny(why.into())),
            Does::Pass(why) => Reply::Now(Decision::NoOpinion(why.into())),
            Does::AllowLater => Reply::Later(Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Decision::Allow("late".into()))
            })),
            Does::Fail(_) => Reply::Later(Box::pin(async { Err("it is broken".into()) })),
            Does::Hang(_) => Reply::Later(Box::pin(std::future::pending())),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn on_failure(&self) -> OnFailure {
        match self.0 {
            Does::Fail(on_failure) | Does::Hang(on_failure) => on_failure,
            _ => OnFailure::NoOpinion,
        }
    }
}

const FAILED: &str = "authorizer Test cannot decide: it is broken";
const LATE: &str = "authorizer Test has not answered within 2s";

#[tokio::test(start_paused = true)]
async fn the_first_decision_counts_and_reasons_are_collected() {
    use Does::{Allow, AllowLater, Deny, Fail, Hang, Pass};
    use OnFailure::{Deny as Closed, NoOpinion as Open};
    // The members; the decision, its reason, the errors, and how many were asked.
    let table: &[(&[Does], &str, &str, &str, usize)] = &[
        (&[], "pass", "", "", 0),
        (&[Allow("a"), Deny("d")], "allow", "a", "", 1),
        (&[Deny("d"), Allow("a")], "deny", "d", "", 1),
        (&[Pass("p"), Allow("a")], "allow", "a", "", 2),
        (&[Pass("p"), Deny("d"), Allow("a")], "deny", "d", "", 2),
        (&[Pass("p"), Pass(""), Pass("q")], "pass", "p\nq", "", 3),
        (&[AllowLater, Deny("d")], "allow", "late", "", 1),
        (&[Fail(Open), Allow("a")], "allow", "a", "", 2),
        (&[Fail(Open), Pass("p")], "pass", "p", FAILED, 2),
        (&[Pass("p"), Fail(Open)], "pass", "p", FAILED, 2),
        (&[Fail(Closed), Allow("a")], "deny", "", FAILED, 1),
        (&[Hang(Open), Allow("a")], "allow", "a", "", 2),
        (&[Hang(Open), Pass("p")], "pass", "p", LATE, 2),
        (&[Hang(Closed), Allow("a")], "deny", "", LATE, 1),
        (&[Fail(Open), Fail(Open)], "pass", "", FAILED, 2),
    ];
    let user = User::new("jane", &[]);
    let what = Attributes::new(&user, "get", Target::Path("/x"));
    for (index, (does, decision, reason, failure, asked)) in table.iter().enumerate() {
        let members: Vec<_> = does.iter().map(|does| Arc::new(Member(*does, AtomicUsize::new(0)))).collect();
        let chain = Chain::new(members.iter().map(|member| Arc::clone(member) as _).collect());
        let ruling = chain.authorize(&what).await;
        let got = match ruling.decision {
            Decision::Allow(_) => "allow",
            Decision::Deny(_) => "deny",
            Decision::NoOpinion(_) => "pass",
        };
        assert_eq!(
            (got, ruling.reason(), ruling.failure().as_str()),
            (*decision, *reason, *failure),
            "{index}"
        );
        assert_eq!(
            members.iter().map(|member| member.1.load(Ordering::Relaxed)).sum::<usize>(),
            *asked,
            "{index}"
        );
        // A failure is the server's fault, unless another authorizer allows the request.
        let code = match (got, failure.is_empty()) {
            ("allow", _) => None,
            (_, true) => Some(403),
            (_, false) => Some(500),
        };
        assert_eq!(ruling.demand(&what).err().map(|status| status.code), code, "{index}");
        assert_eq!(ruling.forbid(&what).is_ok(), got == "allow", "{index}");
    }
    let several = Chain::new(vec![
        Arc::new(Member(Fail(Open), AtomicUsize::new(0))),
        Arc::new(Member(Hang(Open), AtomicUsize::new(0))),
    ]);
    assert_eq!(several.authorize(&what).await.failure(), format!("[{FAILED}, {LATE}]"));
}

#[tokio::test]
async fn reasons_stand_behind_what_is_refused() {
    let user = User::new("jane", &[]);
    let (group, version, resource, subresource) = ("apps", "v1", "deployments", "scale");
    let target = Target::Resource { group, version, resource, subresource, namespace: "n", name: "x" };
    let what = Attributes::new(&user, "update", target);
    let member = |does| Arc::new(Member(does, AtomicUsize::new(0))) as Arc<dyn Authorizer>;
    let chain = Chain::new(vec![member(Does::Pass("not mine")), member(Does::Pass("nor <mine>"))]);
    let refused = chain.demand(&what).await.unwrap_err();
    let expected = "deployments.apps \"x\" is forbidden: User \"jane\" cannot update resource \"deployments/scale\" in \
                    API group \"apps\" in the namespace \"n\": not mine\nnor <mine>";
    assert_eq!(refused.message, expected);
    let chain = Chain::new(vec![member(Does::Deny("never"))]);
    assert!(chain.demand(&what).await.unwrap_err().message.ends_with("in the namespace \"n\": never"));
}

#[test]
fn messages_become_one() {
    for (messages, expected) in
        [(&[][..], ""), (&["a"][..], "a"), (&["a", "a"][..], "a"), (&["b", "a", "b"][..], "[b, a]")]
    {
        assert_eq!(aggregate(messages.iter().copied()), expected);
    }
}
