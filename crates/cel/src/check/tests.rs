use crate::{Env, check, parse, standard};

#[test]
fn x() {
    let env = Env::default().with_functions(standard());
    for text in ["1 + 2", "[1,2].map(x, x + 1)", "a", "1 + ''", "[1, '']", "{}.a.b", "type(1) == int"] {
        match check(parse(text).unwrap(), &env) {
            Ok(checked) => println!("{text}: {}", checked.output()),
            Err(issues) => println!("{issues}"),
        }
    }
}
