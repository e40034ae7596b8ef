// One installation, in one resource group. README.md says how to deploy it, what each resource costs, and what each
// parameter is for.

targetScope = 'resourceGroup'

@description('Begins the names of the resources, and tells installations apart in lists and e-mails.')
@minLength(3)
@maxLength(14)
param name string

@description('The Azure region. It must offer Flex Consumption.')
param location string = resourceGroup().location

@description('Put on every resource.')
param tags object = {}

// Who we are for the marketplace

@description('The tenant of the marketplace application: the first of the two ids in Partner Center.')
param marketplaceTenantId string = tenant().tenantId

@description('The marketplace application: the second id in Partner Center. Empty with managed-identity only.')
param marketplaceClientId string = ''

@description('How that application proves itself to Entra.')
@allowed([
  'federated'
  'certificate'
  'secret'
  'managed-identity'
])
param marketplaceCredential string = 'federated'

@description('The application that signs buyers in.')
param signinClientId string

// What is sold, and how

@description('The ids of the offers that this installation serves.')
@minLength(1)
param offers array

@description('Which changes customers may make for themselves, as docs/settings.md explains. Empty accepts all.')
param changePolicy object = {}

@description('What becomes of a difference from Microsoft that the hourly comparison finds.')
@allowed([
  'repair'
  'observe'
])
param reconcile string = 'repair'

// What buyers see

@description('The address of the app, where it has a domain of its own. Empty: the one that Azure gives.')
param publicUrl string = ''

@description('The name under which buyers know the publisher.')
param publisherName string

@description('Where a buyer finds help: a page, or mailto: and an address.')
param publisherSupportUrl string

@description('Where an active subscription leads.')
param publisherAppUrl string

// The publisher's own software; docs/settings.md explains each, and empty means that it is not connected

@description('Who says that a confirmed purchase may be activated.')
@allowed([
  'automatic'
  'publisher'
])
param activation string = 'automatic'

@description('Where events are posted.')
param publisherEventsUrl string = ''

@description('With activation publisher: who is asked to provision.')
param publisherProvisionUrl string = ''

@description('With activation publisher: where the buyer is handed over before billing begins.')
param publisherSetupUrl string = ''

@description('Who is asked about changes of plan and seats that the policy allows.')
param publisherDecisionsUrl string = ''

@description('What silence of that one means.')
@allowed([
  'accept'
  'refuse'
])
param publisherDecisionsDefault string = 'accept'

@description('Where the buyer of an active subscription is handed over.')
param publisherHandoffUrl string = ''

@description('The hosts among these that may be in a private network.')
param publisherAllowedHosts array = []

// Size

@description('Memory of one instance in MB.')
@allowed([
  512
  2048
  4096
])
param instanceMemory int = 2048

@description('The most instances that Azure may start.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

@description('HTTP requests that one instance takes at a time.')
@minValue(1)
@maxValue(1000)
param requestsPerInstance int = 16

@description('Instances that never sleep, for the HTTP functions. 0: the first request after a pause waits.')
@minValue(0)
@maxValue(20)
param alwaysReady int = 0

@description('How the storage account keeps its copies.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
param storageRedundancy string = 'Standard_ZRS'

// Operation

@description('Who hears of alerts. Empty: no alerts.')
param alertEmail string = ''

@description('How long logs are kept, in days.')
@minValue(30)
@maxValue(730)
param logRetention int = 90

@description('The most that may be logged in a day, in GB. What comes above it is lost, alerts included.')
@minValue(1)
param logLimit int = 1

@description('Whether nobody can destroy a deleted vault before its 90 days are over. It cannot be taken back.')
param purgeProtection bool = true

@description('The object id of the person or group that writes secrets. Empty: grant it yourself.')
param operatorId string = ''

@description('What operatorId is.')
@allowed([
  'User'
  'Group'
  'ServicePrincipal'
])
param operatorType string = 'User'

// Network

@description('Whether storage and vault are reached through a network of their own only.')
param privateNetwork bool = false

@description('With privateNetwork: the public addresses from which the vault is administered.')
param operatorAddresses array = []

// Every name that must be unique in all of Azure ends with this.
var token = uniqueString(resourceGroup().id, name)

module identity 'modules/identity.bicep' = {
  name: '${name}-identity'
  params: {
    name: 'id-${name}-${token}'
    location: location
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  name: '${name}-storage'
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    redundancy: storageRedundancy
    privateNetwork: privateNetwork
  }
}

module vault 'modules/vault.bicep' = {
  name: '${name}-vault'
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    purgeProtection: purgeProtection
    privateNetwork: privateNetwork
    operatorAddresses: operatorAddresses
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: '${name}-monitoring'
  params: {
    workspaceName: 'log-${name}-${token}'
    componentName: 'appi-${name}-${token}'
    location: location
    tags: tags
    retention: logRetention
    dailyLimit: logLimit
  }
}

module alerts 'modules/alerts.bicep' = if (!empty(alertEmail)) {
  name: '${name}-alerts'
  params: {
    name: name
    location: location
    tags: tags
    email: alertEmail
    componentId: monitoring.outputs.componentId
  }
}

module roles 'modules/roles.bicep' = {
  name: '${name}-roles'
  params: {
    principalId: identity.outputs.principalId
    storageAccountName: storage.outputs.name
    vaultName: vault.outputs.name
    componentName: monitoring.outputs.componentName
    operatorId: operatorId
    operatorType: operatorType
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: '${name}-network'
  params: {
    name: '${name}-${token}'
    location: location
    tags: tags
    storageAccountId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

// A managed identity that is itself the marketplace application has only its own id.
var applicationId = marketplaceCredential == 'managed-identity' ? identity.outputs.clientId : marketplaceClientId

module app 'modules/app.bicep' = {
  name: '${name}-app'
  // Without the roles the app could neither read its package nor start.
  dependsOn: [
    roles
  ]
  params: {
    name: '${name}-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storage.outputs.name
    packageContainerUrl: storage.outputs.packageContainerUrl
    vaultUrl: vault.outputs.url
    connectionString: monitoring.outputs.connectionString
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    instanceMemory: instanceMemory
    maximumInstances: maximumInstances
    requestsPerInstance: requestsPerInstance
    alwaysReady: alwaysReady
    settings: {
      MARKETPLACE_TENANT_ID: marketplaceTenantId
      MARKETPLACE_CLIENT_ID: applicationId
      MARKETPLACE_CREDENTIAL: marketplaceCredential
      SIGNIN_CLIENT_ID: signinClientId
      OFFERS: join(offers, ',')
      CHANGE_POLICY: empty(changePolicy) ? '' : string(changePolicy)
      RECONCILE: reconcile
      PUBLIC_URL: publicUrl
      PUBLISHER_NAME: publisherName
      PUBLISHER_SUPPORT_URL: publisherSupportUrl
      PUBLISHER_APP_URL: publisherAppUrl
      ACTIVATION: activation
      PUBLISHER_EVENTS_URL: publisherEventsUrl
      PUBLISHER_PROVISION_URL: publisherProvisionUrl
      PUBLISHER_SETUP_URL: publisherSetupUrl
      PUBLISHER_DECISIONS_URL: publisherDecisionsUrl
      PUBLISHER_DECISIONS_DEFAULT: publisherDecisionsDefault
      PUBLISHER_HANDOFF_URL: publisherHandoffUrl
      PUBLISHER_ALLOWED_HOSTS: join(publisherAllowedHosts, ',')
    }
  }
}

var address = empty(publicUrl) ? 'https://${app.outputs.hostName}' : publicUrl

@description('Partner Center, Technical configuration: Landing page URL.')
output landingPageUrl string = '${address}/api/landing'

@description('Partner Center, Technical configuration: Connection webhook.')
output webhookUrl string = '${address}/api/webhook'

@description('Partner Center, Technical configuration: Microsoft Entra tenant ID.')
output tenantId string = marketplaceTenantId

@description('Partner Center, Technical configuration: Microsoft Entra application ID.')
output applicationId string = applicationId

@description('For infra/register --public-url.')
output publicUrl string = address

@description('For func azure functionapp publish.')
output functionAppName string = app.outputs.name

@description('For infra/secrets --vault and infra/register --vault.')
output vaultName string = vault.outputs.name

@description('For infra/register --identity: the principal that may speak for the marketplace application.')
output identityPrincipalId string = identity.outputs.principalId
