// What azd deploys: everything from the azd environment, so that nothing is edited. azd env set KEY VALUE sets one.

using 'main.bicep'

param name = readEnvironmentVariable('AZURE_ENV_NAME')
param tags = {
  'azd-env-name': readEnvironmentVariable('AZURE_ENV_NAME')
}

// Printed by infra/register.
param marketplaceTenantId = readEnvironmentVariable('MARKETPLACE_TENANT_ID')
param marketplaceClientId = readEnvironmentVariable('MARKETPLACE_CLIENT_ID')
param marketplaceCredential = readEnvironmentVariable('MARKETPLACE_CREDENTIAL', 'federated')
param signinClientId = readEnvironmentVariable('SIGNIN_CLIENT_ID')

param offers = split(readEnvironmentVariable('OFFERS'), ',')
param changePolicy = json(readEnvironmentVariable('CHANGE_POLICY', '{}'))
param publicUrl = readEnvironmentVariable('PUBLIC_URL', '')
param publisherName = readEnvironmentVariable('PUBLISHER_NAME')
param publisherSupportUrl = readEnvironmentVariable('PUBLISHER_SUPPORT_URL')
param publisherAppUrl = readEnvironmentVariable('PUBLISHER_APP_URL')

param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param alwaysReady = int(readEnvironmentVariable('ALWAYS_READY', '0'))
param operatorId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
