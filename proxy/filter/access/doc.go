// Package access is a filter that allows and denies requests by API key and client id. The first rule that fits decides; where none does, the
// request is allowed. What is denied to everybody is not told of in ApiVersions; everything else is answered with CLUSTER_AUTHORIZATION_FAILED.
//
// It does not look at topics.
package access
