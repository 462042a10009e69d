//! From text to an expression.
//!
//! The grammar is upstream's (`parser/gen/CEL.g4` in cel-go) with all its extensions: optional syntax, names in backquotes,
//! messages. Syntax errors have the words of upstream's generated parser where ours fails for the same reason; after the
//! first one that cannot be mended by dropping or adding a token, parsing ends.

mod cursor;
mod literal;
mod operators;
mod primary;

use crate::builder::{Builder, RECURSION_MAX, Stop, call};
use crate::lexer::{self, Token, TokenKind};
use crate::{Ast, Expr, Issue, Issues, Kind, macros};
use operators::{Operator, Pending};

/// The most characters of an expression.
const CHARACTERS_MAX: usize = 100_000;

/// Parses an expression and expands its macros.
///
/// Whatever the text, the work, the number of parts (200,000) and their depth (400) are bounded.
///
/// # Errors
/// The mistakes found: syntax errors, wrong literals and arguments of macros, and exceeded limits.
pub fn parse(text: &str) -> Result<Ast, Issues> {
    parse_with(text, false)
}

/// The same, with `cel.bind` as a macro or without.
pub(crate) fn parse_with(text: &str, bindings: bool) -> Result<Ast, Issues> {
    let characters = text.chars().count();
    if characters > CHARACTERS_MAX {
        let message =
            format!("expression code point size exceeds limit: size: {characters}, limit {CHARACTERS_MAX}");
        // The text is left out: whoever shows the mistake needs none of it.
        return Err(Issues { text: "".into(), issues: vec![Issue { place: Issue::NOWHERE, message }] });
    }
    let (tokens, issues) = lexer::tokens(text);
    let mut build = Builder::new(issues);
    build.bindings = bindings;
    let mut parser = Parser { tokens, at: 0, brackets: 0, recovering: false, build };
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
    /// Whether nothing has been passed since the last mistake.
    recovering: bool,
    build: Builder,
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
        let first = self.operators()?;
        let expr = if self.peek_is("?") { self.conditional(first) } else { Ok(first) };
        self.brackets -= 1;
        expr
    }

    fn conditional(&mut self, condition: Expr) -> Result<Expr, Stop> {
        let place = self.next().place;
        let then = self.operators()?;
        self.expect(":", |token| token.starts_expression())?;
        let otherwise = self.expr()?;
        self.operation(place, "_?_:_", vec![condition, then, otherwise])
    }

    /// Operands with binary operators between them.
    fn operators(&mut self) -> Result<Expr, Stop> {
        let mut pending = Pending::default();
        loop {
            pending.operands.push(self.operand()?);
            let Some(operator) = Operator::of(self.peek()) else { break };
            self.pass(1);
            pending.push(operator, &mut self.build)?;
        }
        pending.finish(&mut self.build)
    }

    /// `!a`, `-a` and what they stand before: a primary expression with selections, indices and methods behind it. An
    /// even number of signs is none.
    fn operand(&mut self) -> Result<Expr, Stop> {
        let sign = self.sign();
        let mut left = self.primary()?;
        loop {
            left = match self.peek().text {
                "." => self.selection(left)?,
                "[" => self.index(left)?,
                _ => break,
            }
        }
        match sign {
            Some((place, function)) => self.build.make(place, call(function, vec![left])),
            None => Ok(left),
        }
    }

    /// The sign before an operand, unless it is part of a number.
    fn sign(&mut self) -> Option<(u32, &'static str)> {
        let first = *self.peek();
        let (sign, function) = match first.text {
            "!" => ("!", "!_"),
            "-" if !self.is_negative_number() => ("-", "-_"),
            _ => return None,
        };
        let mut odd = false;
        while self.skip(sign) {
            odd = !odd;
        }
        odd.then_some((first.place, function))
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
            self.pass(2);
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
        self.build.operation(place, function, args)
    }
}

#[cfg(test)]
mod tests;
