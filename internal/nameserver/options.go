package nameserver

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/skuamq/skua/internal/wire"
)

// Options configure a name server; the keys are RocketMQ's. Those tagged live can be changed over the network.
type Options struct {
	// Address to listen on.
	BindAddress string `key:"bindAddress" default:"0.0.0.0"`
	// Port to listen on; 0 picks a free one.
	ListenPort int32 `key:"listenPort" default:"9876" min:"0" max:"65535"`
	// File of the KV table, which holds the configuration of ordered topics.
	KVConfigPath string `key:"kvConfigPath" default:"${user.home}/namesrv/kvConfig.json"`
	// File that changes over the network are written to; empty: they are lost at the next start. With -c it is that
	// file.
	ConfigStorePath string `key:"configStorePath" default:"${user.home}/namesrv/namesrv.properties"`
	// Keys that cannot be changed over the network, separated by semicolons.
	ConfigBlackList string `key:"configBlackList" default:"configBlackList;configStorePath;kvConfigPath"`
	// Whether routes carry the configuration of ordered topics.
	OrderMessageEnable bool `key:"orderMessageEnable" default:"false" live:"true"`
	// Whether brokers are told the configuration of ordered topics when they register.
	ReturnOrderTopicConfigToBroker bool `key:"returnOrderTopicConfigToBroker" default:"true" live:"true"`
	// How often brokers that give no sign of life are looked for.
	ScanNotActiveBrokerInterval int64 `key:"scanNotActiveBrokerInterval" default:"5000" unit:"ms" min:"1" max:"2147483647"`
	// Whether routes show the lowest slave of a broker without master as its master, for reading.
	SupportActingMaster bool `key:"supportActingMaster" default:"false" live:"true"`
	// Whether the list of all topics is given out.
	EnableAllTopicList bool `key:"enableAllTopicList" default:"true" live:"true"`
	// Whether the lists of topics by cluster, of system topics and of unit topics are given out.
	EnableTopicList bool `key:"enableTopicList" default:"true" live:"true"`
	// Whether the members of a broker are told when the lowest id among them changes.
	NotifyMinBrokerIDChanged bool `key:"notifyMinBrokerIdChanged" default:"false" live:"true"`
	// Whether routes are refused for a while after the start, until all brokers have had time to register.
	NeedWaitForService bool `key:"needWaitForService" default:"false" live:"true"`
	// How long needWaitForService refuses routes.
	WaitSecondsForService int32 `key:"waitSecondsForService" default:"45" unit:"s" min:"0" live:"true"`
	// Whether a topic that is absent from a broker's registration is removed from that broker's routes. Brokers must
	// then not split their registrations.
	DeleteTopicWithBrokerRegistration bool `key:"deleteTopicWithBrokerRegistration" default:"false" live:"true"`
	// Connections that neither read nor write for so long are closed. 0: never.
	ServerChannelMaxIdleTimeSeconds int32 `key:"serverChannelMaxIdleTimeSeconds" default:"120" unit:"s" min:"0"`

	// TLS is the TLS side of the port; nil: plain only. It has no key: tls.properties configures it.
	TLS *wire.TLS
}

func (o *Options) rules() Rules {
	return Rules{ActingMaster: o.SupportActingMaster, DeleteTopics: o.DeleteTopicWithBrokerRegistration}
}

// blackListed reports whether the black list names key.
func (o *Options) blackListed(key string) bool {
	for name := range strings.SplitSeq(o.ConfigBlackList, ";") {
		if strings.TrimSpace(name) == key {
			return true
		}
	}
	return false
}

// expand replaces Java's name of the home directory in a path.
func expand(path string) string {
	const home = "${user.home}"
	if !strings.Contains(path, home) {
		return path
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		dir = cmp.Or(os.TempDir(), ".")
	}
	return filepath.Clean(strings.ReplaceAll(path, home, dir))
}
