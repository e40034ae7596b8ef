//! Webhooks of another implementation of the fulfillment API, which sends them without a token.

use super::*;

#[tokio::test]
async fn a_webhook_without_a_token_is_signed_and_the_answer_passed_back() {
    let market = Market::open().await;
    let body = json!({ "id": NOBODY, "subscriptionId": NOBODY, "action": "ChangePlan", "planId": "elsewhere" });
    market.webhooks(Webhooks { token_version: 2, ..Webhooks::default() });
    for status in [200, 400, 503] {
        market.publisher.will_answer(&[status]);
        let request = market.client.post(format!("{}/simulator/relay", market.base)).body(body.to_string());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.text().await.unwrap(), "said");
        let heard = market.publisher.one();
        assert_eq!(heard.body, body);
        assert_eq!(heard.token, market.simulator.sign(&market.simulator.webhook_claims(2), Signature::Good));
    }
    market.publisher.will_answer(&[publisher::DROP]);
    let (status, refusal) = market.control(Method::POST, "/simulator/relay", body.to_string()).await;
    assert!(status == 502 && refusal["error"]["message"].is_string(), "{refusal}");
    market.publisher.heard();
    let (status, refusal) = market.control(Method::POST, "/simulator/relay", "{").await;
    assert!(status == 400 && refusal["error"]["message"].as_str().unwrap().contains("JSON"), "{refusal}");
    assert!(market.publisher.heard().is_empty());
}
