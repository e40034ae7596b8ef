// The production installation.
//
//   az deployment group create --resource-group rg-fulfillment --parameters infra/production.bicepparam

using 'main.bicep'

param name = 'contoso'
param tags = {
  environment: 'production'
}

// Printed by infra/register.
param marketplaceTenantId = readEnvironmentVariable('MARKETPLACE_TENANT_ID')
param marketplaceClientId = readEnvironmentVariable('MARKETPLACE_CLIENT_ID')
param signinClientId = readEnvironmentVariable('SIGNIN_CLIENT_ID')

param offers = [
  'contoso-offer'
]
param publicUrl = 'https://landing.contoso.com'
param publisherName = 'Contoso'
param publisherSupportUrl = 'https://contoso.com/support'
param publisherAppUrl = 'https://app.contoso.com'

param alertEmail = readEnvironmentVariable('ALERT_EMAIL')
param storageRedundancy = 'Standard_ZRS'

// A policy that can refuse must answer within ten seconds, which a cold start may use up: with one, keep an instance
// awake.
//
// param changePolicy = {
//   blockDowngrades: { planOrder: [ 'bronze', 'silver', 'gold' ] }
// }
// param alwaysReady = 1

// Your own software, once it listens; docs/events.md says what it hears.
//
// param publisherEventsUrl = 'https://app.contoso.com/marketplace/events'
// param publisherHandoffUrl = 'https://app.contoso.com/marketplace/handoff'
