use crate::parse;

#[test]
fn x() {
    println!("{:?}", parse("a.b + 1"));
}
