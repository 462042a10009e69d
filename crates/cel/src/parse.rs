//! From text to an expression.
//!
//! The grammar is upstream's (`parser/gen/CEL.g4` in cel-go) with all its extensions: optional syntax, names in backquotes,
//! messages. Syntax errors have the words of upstream's generated parser where ours fails for the same reason; after the
//! first one that cannot be mended by dropping or adding a token, parsing ends.

mod builder;
mod cursor;
mod literal;
mod primary;

pub(crate) use builder::{Builder, Stop};

use crate::lexer::{self, Token, TokenKind};
use crate::{Ast, Expr, Issue, Issues, Kind, macros};
use builder::RECURSION_MAX;

/// The most characters of an expression.
const CHARACTERS_MAX: usize = 100_000;

/// Parses an expression and expands its macros.
///
/// Whatever the text, the work, the number of parts (200,000) and their depth (400) are bounded.
///
/// # Errors
/// The mistakes found: syntax errors, wrong literals and arguments of macros, and exceeded limits.
pub fn parse(text: &str) -> Result<Ast, Issues> {
    let characters = text.chars().count();
    if characters > CHARACTERS_MAX {
        let message =
            format!("expression code point size exceeds limit: size: {characters}, limit {CHARACTERS_MAX}");
        // The text is left out: whoever shows the mistake needs none of it.
        return Err(Issues { text: "".into(), issues: vec![Issue { place: Issue::NOWHERE, message }] });
    }
    let (tokens, issues) = lexer::tokens(text);
    let mut parser = Parser { tokens, at: 0, brackets: 0, build: Builder::new(issues) };
    let root = parser.whole();
    let Builder { places, issues, .. } = parser.build;
    match root {
        Ok(root) if issues.is_empty() => Ok(Ast { root, places, text: text.into() }),
        _ => Err(Issues { text: text.into(), issues }),
    }
}

/// Reads tokens.
struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    /// The next token.
    at: usize,
    /// How many expressions are open: the whole, and those in brackets, arguments and branches.
    brackets: u16,
    build: Builder,
}

/// The binary operators by how tightly they bind, with the names of their functions.
fn binary(sign: &str) -> Option<(Binding, &'static str)> {
    Some(match sign {
        "<" => (Binding::Relation, "_<_"),
        "<=" => (Binding::Relation, "_<=_"),
        ">" => (Binding::Relation, "_>_"),
        ">=" => (Binding::Relation, "_>=_"),
        "==" => (Binding::Relation, "_==_"),
        "!=" => (Binding::Relation, "_!=_"),
        "in" => (Binding::Relation, "@in"),
        "+" => (Binding::Sum, "_+_"),
        "-" => (Binding::Sum, "_-_"),
        "*" => (Binding::Product, "_*_"),
        "/" => (Binding::Product, "_/_"),
        "%" => (Binding::Product, "_%_"),
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Relation,
    Sum,
    Product,
}

impl Binding {
    /// The next tighter one.
    fn tighter(self) -> Option<Binding> {
        match self {
            Binding::Relation => Some(Binding::Sum),
            Binding::Sum => Some(Binding::Product),
            Binding::Product => None,
        }
    }
}

impl Parser<'_> {
    fn whole(&mut self) -> Result<Expr, Stop> {
        let root = self.expr()?;
        match self.peek().kind {
            TokenKind::End => Ok(root),
            _ if self.tokens.get(self.at + 1).is_some_and(|next| next.kind == TokenKind::End) => {
                self.syntax(format!("extraneous input {} expecting <EOF>", self.named()));
                Err(Stop)
            }
            _ => Err(self.mismatch("<EOF>")),
        }
    }

    /// `a || b ? c : d`
    fn expr(&mut self) -> Result<Expr, Stop> {
        self.brackets += 1;
        if self.brackets > RECURSION_MAX {
            let message = format!("expression recursion limit exceeded: {RECURSION_MAX}");
            return Err(self.build.limit(message));
        }
        let first = self.any_of()?;
        let expr = if self.peek_is("?") { self.conditional(first) } else { Ok(first) };
        self.brackets -= 1;
        expr
    }

    fn conditional(&mut self, condition: Expr) -> Result<Expr, Stop> {
        let place = self.next().place;
        let then = self.any_of()?;
        self.expect(":", |token| token.starts_expression())?;
        let otherwise = self.expr()?;
        self.operation(place, "_?_:_", vec![condition, then, otherwise])
    }

    /// `a || b || c`
    fn any_of(&mut self) -> Result<Expr, Stop> {
        let first = self.all_of()?;
        if !self.peek_is("||") {
            return Ok(first);
        }
        let (mut terms, mut places) = (vec![first], Vec::new());
        while self.peek_is("||") {
            places.push(self.next().place);
            terms.push(self.all_of()?);
        }
        self.balanced("_||_", terms, &places)
    }

    /// `a && b && c`
    fn all_of(&mut self) -> Result<Expr, Stop> {
        let first = self.binary(Binding::Relation)?;
        if !self.peek_is("&&") {
            return Ok(first);
        }
        let (mut terms, mut places) = (vec![first], Vec::new());
        while self.peek_is("&&") {
            places.push(self.next().place);
            terms.push(self.binary(Binding::Relation)?);
        }
        self.balanced("_&&_", terms, &places)
    }

    /// A balanced tree of terms instead of a list as deep as it is long. Its shape is upstream's, because costs depend on
    /// it: `(a && b) && (c && d)`.
    fn balanced(&mut self, function: &str, terms: Vec<Expr>, places: &[u32]) -> Result<Expr, Stop> {
        let mut terms = terms.into_iter();
        self.subtree(function, &mut terms, places)
    }

    /// The tree of the operators at `places` and as many terms and one.
    fn subtree(
        &mut self,
        function: &str,
        terms: &mut std::vec::IntoIter<Expr>,
        places: &[u32],
    ) -> Result<Expr, Stop> {
        if places.is_empty() {
            return terms.next().ok_or(Stop);
        }
        let middle = places.len() / 2;
        let left = self.subtree(function, terms, &places[..middle])?;
        let right = self.subtree(function, terms, &places[middle + 1..])?;
        self.build.make(places[middle], call(function, vec![left, right]))
    }

    /// Operators that bind at least as tightly as `least`, from left to right.
    fn binary(&mut self, least: Binding) -> Result<Expr, Stop> {
        let mut left = self.unary()?;
        while let Some((binding, function)) = binary(self.peek().text).filter(|(own, _)| *own >= least) {
            let place = self.next().place;
            let right = match binding.tighter() {
                Some(tighter) => self.binary(tighter)?,
                None => self.unary()?,
            };
            left = self.operation(place, function, vec![left, right])?;
        }
        Ok(left)
    }

    /// `!a`, `-a`; an even number of them is none.
    fn unary(&mut self) -> Result<Expr, Stop> {
        let first = *self.peek();
        let (sign, function) = match first.text {
            "!" => ("!", "!_"),
            "-" if !self.is_negative_number() => ("-", "-_"),
            _ => return self.member(),
        };
        let mut count = 0_usize;
        while self.peek_is(sign) {
            self.at += 1;
            count += 1;
        }
        let operand = self.member()?;
        if count.is_multiple_of(2) {
            return Ok(operand);
        }
        self.build.make(first.place, call(function, vec![operand]))
    }

    /// Selections, indices and methods behind a primary expression.
    fn member(&mut self) -> Result<Expr, Stop> {
        let mut left = self.primary()?;
        loop {
            left = match self.peek().text {
                "." => self.selection(left)?,
                "[" => self.index(left)?,
                _ => return Ok(left),
            }
        }
    }

    fn index(&mut self, left: Expr) -> Result<Expr, Stop> {
        let place = self.next().place;
        let optional = self.skip("?");
        let index = self.expr()?;
        self.expect("]", |token| token.follows_expression())?;
        self.operation(place, if optional { "_[?_]" } else { "_[_]" }, vec![left, index])
    }

    fn selection(&mut self, left: Expr) -> Result<Expr, Stop> {
        let dot = self.next();
        if self.skip("?") {
            let place = self.peek().place;
            let field = self.field_name("{IDENTIFIER, ESC_IDENTIFIER}")?;
            let field = self.build.make(place, Kind::Literal(crate::Literal::String(field)))?;
            return self.operation(dot.place, "_?._", vec![left, field]);
        }
        let (name, open) = (*self.peek(), self.tokens.get(self.at + 1).copied());
        if let (TokenKind::Ident, Some(open)) = (name.kind, open)
            && open.text == "("
        {
            self.at += 2;
            let args = self.args()?;
            let call = macros::call(&mut self.build, open.place, name.text, Some(left), args)?;
            return self.build.operator(call);
        }
        if !matches!(name.kind, TokenKind::Ident | TokenKind::EscapedIdent) {
            return Err(self.no_alternative());
        }
        let field = self.field_name("IDENTIFIER")?;
        let select = Kind::Select { operand: Box::new(left), field, test: false };
        let select = self.build.make(dot.place, select)?;
        self.build.operator(select)
    }

    fn operation(&mut self, place: u32, function: &str, args: Vec<Expr>) -> Result<Expr, Stop> {
        let call = self.build.make(place, call(function, args))?;
        self.build.operator(call)
    }
}

/// A call without a target.
fn call(function: &str, args: Vec<Expr>) -> Kind {
    Kind::Call { function: function.into(), target: None, args }
}

#[cfg(test)]
mod tests;
