//! What operators stand between: names, calls, literals, lists, maps, messages, and expressions in brackets.

use crate::builder::Stop;
use crate::lexer::TokenKind;
use crate::parse::cursor::STARTS;
use crate::parse::{Parser, literal};
use crate::words::is_reserved;
use crate::{Entry, Expr, FieldInit, Kind, Literal, macros};

/// What a list, a map and a message can begin with.
const LIST: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const MAP: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const ARGS: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const FIELDS: &str = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}";
const FIELD: &str = "{'?', IDENTIFIER, ESC_IDENTIFIER}";

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Result<Expr, Stop> {
        if self.require(STARTS, |token| token.starts_expression()).is_err() {
            return self.missing();
        }
        let token = *self.peek();
        match (token.kind, token.text) {
            (TokenKind::Sign, "(") => self.nested(),
            (TokenKind::Sign, "[") => self.list(),
            (TokenKind::Sign, "{") => self.map(),
            (TokenKind::Sign, "." | "!") | (TokenKind::Ident, _) => self.name(),
            _ => self.literal(),
        }
    }

    /// Something in the place of an expression that is missing, so that what follows is still looked at.
    fn missing(&mut self) -> Result<Expr, Stop> {
        self.recover();
        let place = self.peek().place;
        self.build.make(place, Kind::Literal(Literal::Null))
    }

    fn nested(&mut self) -> Result<Expr, Stop> {
        self.pass(1);
        let inner = self.expr()?;
        self.expect(")", |token| token.follows_expression())?;
        Ok(inner)
    }

    /// A variable, a call of a function, or a message.
    fn name(&mut self) -> Result<Expr, Stop> {
        let begin = self.peek().place;
        if self.peek_is("!") {
            self.mismatch(STARTS);
            return self.missing();
        }
        let dot = if self.skip(".") { "." } else { "" };
        if self.peek().kind != TokenKind::Ident {
            return Err(self.no_alternative());
        }
        if let Some(name) = self.message_name() {
            return self.message(format!("{dot}{name}"));
        }
        let ident = self.next();
        if is_reserved(ident.text) {
            self.build.report(begin, format!("reserved identifier: {}", ident.text));
            if self.skip("(") {
                self.args()?;
            }
            return self.build.make(begin, Kind::Literal(Literal::Null));
        }
        let name = format!("{dot}{}", ident.text);
        if !self.peek_is("(") {
            return self.build.make(ident.place, Kind::Ident(name.into()));
        }
        let open = self.next();
        let args = self.args()?;
        macros::call(&mut self.build, open.place, &name, None, args)
    }

    /// The qualified name before a `{`, which is passed then.
    fn message_name(&mut self) -> Option<String> {
        let mut end = self.at + 1;
        while let [dot, name, ..] = self.tokens.get(end..)?
            && (dot.text, name.kind) == (".", TokenKind::Ident)
        {
            end += 2;
        }
        if self.tokens.get(end)?.text != "{" {
            return None;
        }
        let name = self.tokens[self.at..end].iter().map(|token| token.text).collect();
        self.pass(end - self.at);
        Some(name)
    }

    /// Arguments behind their bracket, and the closing one.
    pub(super) fn args(&mut self) -> Result<Vec<Expr>, Stop> {
        let mut args = Vec::new();
        self.require(ARGS, |token| token.starts_expression() || token.text == ")")?;
        if self.skip(")") {
            return Ok(args);
        }
        args.push(self.expr()?);
        while self.skip(",") {
            args.push(self.expr()?);
        }
        self.expect(")", |token| token.follows_expression())?;
        Ok(args)
    }

    fn list(&mut self) -> Result<Expr, Stop> {
        let place = self.next().place;
        let (mut elements, mut optional) = (Vec::new(), Vec::new());
        self.require(LIST, |token| token.starts_expression() || matches!(token.text, "]" | "," | "?"))?;
        while !self.peek_is("]") && !self.peek_is(",") {
            if self.skip("?") {
                optional.push(elements.len());
            }
            elements.push(self.expr()?);
            if !self.goes_on("]")? {
                break;
            }
        }
        self.close(elements.is_empty(), "]")?;
        self.build.make(place, Kind::List { elements, optional })
    }

    /// Whether a comma and another element follow. The comma before the closing bracket is left.
    fn goes_on(&mut self, closing: &str) -> Result<bool, Stop> {
        let last = self.tokens.get(self.at + 1).is_some_and(|next| next.text == closing);
        if self.peek_is(",") && !last {
            self.at += 1;
            return Ok(true);
        }
        self.require(&format!("{{'{closing}', ','}}"), |token| token.text == closing || token.text == ",")?;
        Ok(false)
    }

    fn close(&mut self, empty: bool, closing: &str) -> Result<(), Stop> {
        self.skip(",");
        if empty && self.peek_is(",") {
            return Err(self.mismatch(&format!("'{closing}'")));
        }
        self.expect(closing, |token| token.follows_expression()).map(|_| ())
    }

    fn map(&mut self) -> Result<Expr, Stop> {
        let place = self.next().place;
        let mut entries = Vec::new();
        self.require(MAP, |token| token.starts_expression() || matches!(token.text, "}" | "," | "?"))?;
        while !self.peek_is("}") && !self.peek_is(",") {
            let optional = self.skip("?");
            let key = self.expr()?;
            let Ok(colon) = self.expect(":", |token| token.starts_expression()) else {
                self.recover();
                break;
            };
            let id = self.build.id(colon.place)?;
            let value = self.expr()?;
            entries.push(Entry { id, key, value, optional });
            if !self.goes_on("}")? {
                break;
            }
        }
        self.close(entries.is_empty(), "}")?;
        self.build.make(place, Kind::Map { entries })
    }

    fn message(&mut self, name: String) -> Result<Expr, Stop> {
        let place = self.next().place;
        let mut fields = Vec::new();
        let names = |kind| matches!(kind, TokenKind::Ident | TokenKind::EscapedIdent);
        self.require(FIELDS, |token| names(token.kind) || matches!(token.text, "}" | "," | "?"))?;
        while !self.peek_is("}") && !self.peek_is(",") {
            let optional = self.skip("?");
            let name = self.field_name(if optional { "{IDENTIFIER, ESC_IDENTIFIER}" } else { FIELD })?;
            let Ok(colon) = self.expect(":", |token| token.starts_expression()) else {
                self.recover();
                break;
            };
            let id = self.build.id(colon.place)?;
            let value = self.expr()?;
            fields.push(FieldInit { id, name, value, optional });
            if !self.goes_on("}")? {
                break;
            }
        }
        self.close(fields.is_empty(), "}")?;
        self.build.make(place, Kind::Struct { name: name.into(), fields })
    }

    /// The name of a field, without backquotes.
    pub(super) fn field_name(&mut self, wanted: &str) -> Result<Box<str>, Stop> {
        self.require(wanted, |token| matches!(token.kind, TokenKind::Ident | TokenKind::EscapedIdent))?;
        Ok(self.next().text.trim_matches('`').into())
    }

    /// Whether a minus and a number come next, which are one literal.
    pub(super) fn is_negative_number(&self) -> bool {
        let number = |kind| matches!(kind, TokenKind::Int | TokenKind::Float);
        self.peek_is("-") && self.tokens.get(self.at + 1).is_some_and(|next| number(next.kind))
    }

    fn literal(&mut self) -> Result<Expr, Stop> {
        let place = self.peek().place;
        if self.peek_is("-") && !self.is_negative_number() {
            self.mismatch(STARTS);
            return self.missing();
        }
        let negative = self.skip("-");
        let token = self.next();
        let value = match token.kind {
            TokenKind::Int => literal::int(negative, token.text).map(Literal::Int),
            TokenKind::Uint => literal::uint(token.text).map(Literal::Uint),
            TokenKind::Float => literal::double(negative, token.text).map(Literal::Double),
            TokenKind::String => literal::string(token.text).map(|text| Literal::String(text.into())),
            TokenKind::Bytes => literal::bytes(&token.text[1..]).map(|bytes| Literal::Bytes(bytes.into())),
            TokenKind::True => Ok(Literal::Bool(true)),
            TokenKind::False => Ok(Literal::Bool(false)),
            _ => Ok(Literal::Null),
        };
        let value = value.unwrap_or_else(|message| {
            self.build.report(place, message);
            Literal::Null
        });
        self.build.make(place, Kind::Literal(value))
    }
}
