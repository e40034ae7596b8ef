//! Nothing passes as described that is not: a small description, one exchange that fits it, and every way to differ.

use reqwest::Method;
use serde_json::{Value, json};
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use super::description::{Description, Judged};
use super::recorder::{Exchange, Said};

const ID: &str = "7c9f2d3e-0b7a-4c55-9d0a-2f6a1be0c711";

fn description() -> Description {
    let header = |name: &str, format: &str| json!({ "in": "header", "name": name, "schema": { "type": "string", "format": format } });
    Description::new(json!({
        "openapi": "3.0.2",
        "paths": {
            "/things/": { "get": { "operationId": "Things_List", "responses": { "200": {
                "description": "", "content": { "application/json": { "schema": { "type": "object", "properties": {
                    "things": { "type": "array", "items": { "$ref": "#/components/schemas/Thing" } } } } } },
            } } } },
            "/things/{id}": { "patch": {
                "operationId": "Things_Change",
                "parameters": [
                    { "in": "path", "name": "id", "required": true, "schema": { "type": "string", "format": "uuid" } },
                    { "in": "query", "name": "v", "required": true, "schema": { "$ref": "#/components/schemas/Version" } },
                    header("x-ms-id", "uuid"),
                ],
                "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } },
                "responses": { "202": { "description": "", "headers": { "Location": {
                    "schema": { "type": "string", "format": "uri" } } } } },
            } },
        },
        "components": { "schemas": {
            "Version": { "type": "string", "enum": ["1"] },
            "Thing": { "type": "object", "required": ["name"], "properties": {
                "name": { "type": "string" }, "size": { "type": "integer" },
                "when": { "type": "string", "format": "date-time" }, "kind": { "type": "string", "enum": ["a", "b"] } } },
        } },
    }))
}

fn said(headers: &[(&str, &str)], body: &str) -> Said {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    Said { headers: headers.iter().map(pair).collect::<HeaderMap>(), body: body.as_bytes().to_vec() }
}

/// A change that is as described.
fn change() -> Exchange {
    Exchange {
        method: Method::PATCH,
        path: format!("/api/things/{ID}"),
        query: "v=1".to_owned(),
        asked: said(&[("authorization", "Bearer x"), ("content-type", "application/json")], r#"{"name":"x"}"#),
        status: 202,
        answered: said(&[("location", "https://marketplace.example/1")], ""),
    }
}

/// A list that is as described.
fn list(things: &Value) -> Exchange {
    let body = json!({ "things": things }).to_string();
    Exchange {
        method: Method::GET,
        path: "/api/things/".to_owned(),
        query: String::new(),
        asked: said(&[("authorization", "Bearer x")], ""),
        status: 200,
        answered: said(&[("content-type", "application/json; charset=utf-8")], &body),
    }
}

fn judged(exchange: &Exchange) -> Judged {
    description().judge(exchange).unwrap_or_else(|| panic!("{exchange:?} is not described"))
}

fn bent(bend: impl FnOnce(&mut Exchange)) -> Judged {
    let mut exchange = change();
    bend(&mut exchange);
    judged(&exchange)
}

#[test]
fn what_is_as_described_does_not_differ() {
    let thing = json!({ "name": "x", "size": 1, "when": "2026-11-20T09:00:00.1234567Z", "kind": "b" });
    for exchange in [change(), list(&json!([])), list(&json!([thing, { "name": "y" }]))] {
        let Judged { operation, asked, answered } = judged(&exchange);
        assert_eq!((asked, answered), (vec![], vec![]), "{operation}");
    }
    assert_eq!(description().operations().collect::<Vec<_>>(), ["List", "Change"]);
    for (method, path) in [(Method::GET, "/api/things/x"), (Method::PATCH, "/api/things/x/y"), (Method::GET, "/things")]
    {
        let exchange = Exchange { method, path: path.to_owned(), ..change() };
        assert!(description().judge(&exchange).is_none(), "{path}");
    }
}

#[test]
fn a_request_that_differs_is_seen() {
    let json = ("content-type", "application/json");
    let (bearer, id) = (("authorization", "Bearer x"), ("x-ms-id", ID));
    let body = r#"{"name":"x"}"#;
    let with = |headers: &[(&str, &str)], body: &str| {
        let asked = said(headers, body);
        bent(|exchange| exchange.asked = asked).asked
    };
    assert_eq!(with(&[bearer, json, id], body), [""; 0]);
    assert_eq!(with(&[json], body), ["authorization: missing"]);
    assert_eq!(with(&[bearer, json, ("x-ms-id", "7")], body), ["x-ms-id: no uuid"]);
    assert_eq!(with(&[bearer, json, ("x-ms-other", "7")], body), ["x-ms-other: not described"]);
    assert_eq!(with(&[bearer], body), ["body: not JSON"]);
    assert_eq!(with(&[bearer, json], "{"), ["body: not JSON"]);
    assert_eq!(with(&[bearer, json], ""), ["body: missing"]);
    assert_eq!(with(&[bearer, json], r#"{"name":"x","more":1}"#), ["more: not described"]);
    assert_eq!(with(&[bearer, json], "{}"), ["name: missing"]);
    let asked = |bend: fn(&mut Exchange)| bent(bend).asked;
    assert_eq!(asked(|exchange| exchange.query.clear()), ["v: missing"]);
    assert_eq!(asked(|exchange| exchange.query = "v=2".to_owned()), ["v: the word 2"]);
    assert_eq!(asked(|exchange| exchange.query.push_str("&w=1")), ["w: not described"]);
    assert_eq!(asked(|exchange| exchange.path.push('/')), ["path: a slash at its end"]);
    assert_eq!(asked(|exchange| exchange.path = "/api/things/7".to_owned()), ["id: no uuid"]);
    let slash = Exchange { path: "/api/things".to_owned(), ..list(&json!([])) };
    assert_eq!(judged(&slash).asked, ["path: no slash at its end"]);
    let surplus = Exchange { asked: said(&[bearer, json], "{}"), ..list(&json!([])) };
    assert_eq!(judged(&surplus).asked, ["body: not described"]);
}

#[test]
fn an_answer_that_differs_is_seen() {
    assert_eq!(bent(|exchange| exchange.status = 409).answered, ["status 409"]);
    assert_eq!(bent(|exchange| exchange.answered.body = b"{}".to_vec()).answered, ["body: not described"]);
    assert_eq!(bent(|exchange| exchange.answered.headers.clear()).answered, ["Location: missing"]);
    let elsewhere = bent(|exchange| exchange.answered = said(&[("location", "elsewhere")], ""));
    assert_eq!(elsewhere.answered, ["Location: no uri"]);
    let listed = |thing: Value| judged(&list(&json!([{ "name": "x" }, thing]))).answered;
    assert_eq!(listed(json!({ "name": "x", "more": 1 })), ["more: not described"]);
    assert_eq!(listed(json!({})), ["name: missing"]);
    assert_eq!(listed(json!({ "name": "x", "kind": "c" })), ["kind: the word c"]);
    assert_eq!(listed(json!({ "name": "x", "when": "today" })), ["when: no date-time"]);
    assert_eq!(listed(json!({ "name": "x", "size": "1" })), ["size: want integer, but got string"]);
    assert_eq!(listed(json!({ "name": null })), ["name: want string, but got null"]);
    let cut = Exchange { answered: said(&[("content-type", "application/json")], "{\"things\""), ..list(&json!([])) };
    assert_eq!(judged(&cut).answered, ["body: not JSON"]);
    let plain = Exchange { answered: said(&[("content-type", "text/plain")], "{}"), ..list(&json!([])) };
    assert_eq!(judged(&plain).answered, ["body: not JSON"]);
}
