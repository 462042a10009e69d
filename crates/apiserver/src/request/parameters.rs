//! The parameters of a query.

use super::percent;

/// The parameters of a query, decoded once. If one is repeated, the first counts, as with Go's `url.Values.Get`, except
/// for the few that are lists; a badly encoded pair is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    raw: Option<String>,
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Reads a query, percent-encoded.
    pub fn parse(query: Option<&str>) -> Parameters {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.filter_map(|pair| {
            // Once a separator, and to be read neither way.
            if pair.contains(';') {
                return None;
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent::decode_query(key)?, percent::decode_query(value)?))
        });
        Parameters { raw: query.map(str::to_owned), pairs: pairs.collect() }
    }

    /// The value that counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a parameter that is a list.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on: it is given and is not `false` or `0`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// The query as the client sent it, to be passed on where another program reads it.
    pub fn raw(&self) -> Option<&str> {
        self.raw.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_repeated_parameter_counts() {
        let parameters = Parameters::parse(Some("a=1+2&a=x&b=%41&c&d=%zz&d=2&e=1;f=2&%67=7&&=x"));
        let expected = [
            ("a", Some("1 2")),
            ("b", Some("A")),
            ("c", Some("")),
            ("d", Some("2")),
            ("e", None),
            ("g", Some("7")),
        ];
        for (name, value) in expected {
            assert_eq!(parameters.get(name), value, "{name}");
        }
        assert_eq!(parameters.all("a").collect::<Vec<_>>(), ["1 2", "x"]);
        let switches = Parameters::parse(Some("a=false&a=true&b=FALSE&c=0&d=&e=1&f=no"));
        let on: Vec<&str> =
            ["a", "b", "c", "d", "e", "f", "g"].into_iter().filter(|s| switches.is_true(s)).collect();
        assert_eq!(on, ["d", "e", "f"]);
    }
}
