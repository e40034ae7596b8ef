// A test installation: small, cheap, gone without a trace. It serves a test offer of the same publisher account.
//
//   az deployment group create --resource-group rg-fulfillment-test --parameters infra/test.bicepparam

using 'main.bicep'

param name = 'contoso-test'
param tags = {
  environment: 'test'
}

// Printed by infra/register.
param marketplaceTenantId = readEnvironmentVariable('MARKETPLACE_TENANT_ID')
param marketplaceClientId = readEnvironmentVariable('MARKETPLACE_CLIENT_ID')
param signinClientId = readEnvironmentVariable('SIGNIN_CLIENT_ID')

param offers = [
  'contoso-offer-test'
]
param publisherName = 'Contoso'
param publisherSupportUrl = 'https://contoso.com/support'
param publisherAppUrl = 'https://test.contoso.com'

param instanceMemory = 512
param storageRedundancy = 'Standard_LRS'
param logRetention = 30

// So that the vault's name is free again as soon as it is purged.
param purgeProtection = false
