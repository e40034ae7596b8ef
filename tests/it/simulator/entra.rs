//! Entra's side: tokens for the publisher's application, and people who sign in.

use super::*;

/// The value of a hidden field of a page, unescaped as far as our values need it.
fn hidden(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    Some(
        rest.split_once('"')?
            .0
            .replace("&#38;", "&")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#34;", "\""),
    )
}

fn authorization(change: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    let usual = [
        ("client_id", SIGNIN_CLIENT_ID),
        ("response_type", "id_token"),
        ("response_mode", "form_post"),
        ("redirect_uri", "http://127.0.0.1:7071/api/signin"),
        ("scope", "openid profile"),
        ("nonce", "a nonce"),
        ("state", "a&b\"<c>"),
    ];
    usual.iter().map(|(key, old)| (*key, if *key == change.0 { change.1 } else { old })).collect()
}

#[tokio::test]
async fn the_token_endpoint_issues_what_the_api_accepts_and_explains_what_it_does_not() {
    let market = Market::open().await;
    let scope = format!("{RESOURCE_ID}/.default");
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("scope", scope.as_str()),
    ];
    let (status, issued) = market.token(&good).await;
    assert_eq!((status.as_u16(), &issued["token_type"]), (200, &json!("Bearer")));
    assert_eq!(issued["expires_in"], 3599);
    let list = format!("{}/api/saas/subscriptions?api-version=2018-08-31", market.base);
    let bearer = issued["access_token"].as_str().unwrap();
    assert_eq!(market.client.get(list).bearer_auth(bearer).send().await.unwrap().status(), 200);

    let with =
        |name: &'static str, value: &'static str| good.map(|(key, old)| (key, if key == name { value } else { old }));
    for (fields, status, error, code) in [
        (with("client_id", NOBODY), 400, "unauthorized_client", 700_016),
        (with("client_secret", "wrong"), 401, "invalid_client", 7_000_215),
        (with("client_secret", ""), 401, "invalid_client", 7_000_218),
        (with("scope", RESOURCE_ID), 400, "invalid_scope", 1_002_012),
        (with("scope", "other/.default"), 400, "invalid_resource", 500_011),
        (with("scope", ""), 400, "invalid_request", 900_144),
        (with("grant_type", "password"), 400, "unsupported_grant_type", 70_003),
    ] {
        let (answered, body) = market.token(&fields).await;
        assert_eq!((answered.as_u16(), &body["error"]), (status, &json!(error)), "{body}");
        assert_eq!(body["error_codes"], json!([code]));
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
        assert!(body["trace_id"].is_string() && body["correlation_id"].is_string() && body["timestamp"].is_string());
    }
    market.simulator.set_faults(Faults { secret_expired: true, ..Faults::default() }).unwrap();
    assert_eq!(market.token(&good).await.1["error_codes"], json!([7_000_222]));
    let elsewhere = format!("{}/entra/{NOBODY}/oauth2/v2.0/token", market.base);
    let (status, body) = read(market.client.post(elsewhere).form(&good).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["error_codes"]), (400, &json!([90_002])));
}

#[tokio::test]
async fn the_openid_configuration_leads_to_the_second_host() {
    let market = Market::open().await;
    let entra = format!("{}/entra", market.second);
    for (tenant, issuer) in [
        ("common", "{tenantid}"),
        ("organizations", "{tenantid}"),
        ("consumers", PERSONAL_TENANT),
        (TENANT_ID, TENANT_ID),
    ] {
        let path = format!("/entra/{tenant}/v2.0/.well-known/openid-configuration");
        let (status, found) = market.control(Method::GET, &path, "").await;
        assert_eq!(status, 200);
        assert_eq!(found["issuer"], format!("{entra}/{issuer}/v2.0"));
        assert_eq!(found["jwks_uri"], format!("{entra}/{tenant}/discovery/v2.0/keys"));
        assert_eq!(found["authorization_endpoint"], format!("{entra}/{tenant}/oauth2/v2.0/authorize"));
        assert_eq!(found["token_endpoint"], format!("{entra}/{tenant}/oauth2/v2.0/token"));
    }
    let path = format!("/entra/{NOBODY}/v2.0/.well-known/openid-configuration");
    assert_eq!(market.control(Method::GET, &path, "").await.0, 400);
    let (_, keys) = market.control(Method::GET, "/entra/common/discovery/v2.0/keys", "").await;
    assert!(keys["keys"].as_array().unwrap().iter().any(|key| key["kty"] != "RSA"), "a kind nobody knows");
    market
        .simulator
        .set_faults(Faults {
            rules: vec![Rule {
                operation: Some(Call::Keys),
                times: Some(1),
                probability: None,
                answer: Answer::Status(503),
                effect: Effect::None,
                retry_after: None,
            }],
            ..Faults::default()
        })
        .unwrap();
    assert_eq!(market.control(Method::GET, "/entra/common/discovery/v2.0/keys", "").await.0, 503);
    assert_eq!(market.simulator.calls(Call::Keys), 2);
}

#[tokio::test]
async fn only_good_signatures_verify_and_keys_roll_over() {
    let market = Market::open().await;
    let claims = market.simulator.id_token_claims(person("buyer").unwrap(), "n");
    for wrong in [Signature::ForeignKey, Signature::UnpublishedKey, Signature::None, Signature::HmacWithPublicKey] {
        assert_eq!(market.verify(&market.simulator.sign(&claims, wrong)).await, None, "{wrong:?}");
    }
    let old = market.simulator.sign_id_token(&claims);
    assert_eq!(market.verify(&old).await, Some(claims.clone()));
    market.simulator.rotate_keys();
    assert!(market.verify(&old).await.is_some(), "the key before is still published");
    let new = market.simulator.sign_id_token(&claims);
    assert!(market.verify(&new).await.is_some());
    market.simulator.rotate_keys();
    assert!(market.verify(&old).await.is_none());
    assert!(market.verify(&new).await.is_some());
}

#[tokio::test]
async fn people_sign_in_with_a_button_each() {
    let market = Market::open().await;
    let url = format!("{}/entra/common/oauth2/v2.0/authorize", market.second);
    let asked = authorization(("", ""));
    let page = market.client.get(&url).query(&asked).send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("<form method=\"post\" action=\"{url}\">")), "{page}");
    let mut objects = BTreeSet::new();
    for key in ["buyer", "colleague", "stranger", "personal"] {
        assert!(page.contains(&format!("value=\"{key}\">{key}")), "the label begins with {key}");
        let mut form: Vec<_> = asked.iter().map(|(name, _)| (*name, hidden(&page, name).unwrap())).collect();
        form.push(("person", key.to_owned()));
        let answer = market.client.post(&url).form(&form).send().await.unwrap().text().await.unwrap();
        assert!(answer.contains("action=\"http://127.0.0.1:7071/api/signin\"") && answer.contains("type=\"submit\""));
        assert_eq!(hidden(&answer, "state").unwrap(), "a&b\"<c>");
        let claims = market.verify(&hidden(&answer, "id_token").unwrap()).await.unwrap();
        assert_eq!((&claims["nonce"], &claims["ver"]), (&json!("a nonce"), &json!("2.0")));
        let tenant = claims["tid"].as_str().unwrap();
        assert_eq!(claims["iss"], format!("{}/entra/{tenant}/v2.0", market.second));
        let begun = datetime!(2026-01-31 09:30 UTC).unix_timestamp();
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(begun), &json!(begun + 3_600)));
        objects.insert(claims["oid"].as_str().unwrap().to_owned());
    }
    assert_eq!(objects.len(), 4);
    let personal = person("personal").unwrap();
    assert_eq!(personal.tenant_id, PERSONAL_TENANT);
    assert!(
        personal.object_id.starts_with("00000000-0000-0000-")
            && personal.object_id.replace('-', "").ends_with(personal.puid)
    );
    assert_eq!(person("buyer").unwrap().tenant_id, person("colleague").unwrap().tenant_id);

    let mut form = asked.clone();
    form.push(("person", "cancel"));
    let answer = market.client.post(&url).form(&form).send().await.unwrap().text().await.unwrap();
    assert_eq!(hidden(&answer, "error").unwrap(), "access_denied");
    assert!(hidden(&answer, "state").is_some() && hidden(&answer, "id_token").is_none());
}

#[tokio::test]
async fn signing_in_to_something_else_is_refused() {
    let market = Market::open().await;
    let url = format!("{}/entra/common/oauth2/v2.0/authorize", market.second);
    for (change, code) in [
        (("client_id", NOBODY), "AADSTS700016"),
        (("redirect_uri", "http://evil.example/api/signin"), "AADSTS50011"),
        (("response_type", "code"), "AADSTS700054"),
        (("response_mode", "query"), "AADSTS70007"),
        (("scope", "profile"), "AADSTS70011"),
        (("nonce", ""), "AADSTS900144"),
    ] {
        let asked = authorization(change);
        let page = market.client.get(&url).query(&asked).send().await.unwrap();
        assert_eq!(page.status(), 400);
        assert!(page.text().await.unwrap().contains(code), "{change:?}");
        let mut form = asked.clone();
        form.push(("person", "buyer"));
        assert_eq!(market.client.post(&url).form(&form).send().await.unwrap().status(), 400, "{change:?}");
    }
    let elsewhere = url.replace("common", "organizations");
    let mut form = authorization(("", ""));
    form.push(("person", "personal"));
    assert_eq!(market.client.post(elsewhere).form(&form).send().await.unwrap().status(), 400);
}
