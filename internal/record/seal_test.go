package record

import (
	"bytes"
	"encoding/base64"
	"testing"
)

// javaSealed is a record that Java wrote with enabledAppendPropCRC.
const javaSealed = "AAABFtqjIKdSAu+NAAAAAwAAAAAAAAAAAAAAAwAAAAAAAM4RAAAAAAAAAaH7vMLlfwAAAQAA11IAAAGh+7zC6H8AAAEAAC6HAAAA" +
	"AAAAAAAAAAAAAAAAAQAGVG9waWNBALRNU0dfUkVHSU9OAURlZmF1bHRSZWdpb24CVU5JUV9LRVkBRkQwMDAwMDAwMDAwMDAwMDAw" +
	"MDAwMDAwMDAwMDAwMDI3RDBCNEUwRTJGMkE2NzU0REFFNTAwMTcCQ0xVU1RFUgFEZWZhdWx0Q2x1c3RlcgJUQUdTAVRhZ0MCS0VZ" +
	"UwFrZXktMjMCV0FJVAF0cnVlAlRSQUNFX09OAXRydWUCX19DUkMzMiMBMDk5MTkzNzc3MQI="

func TestSealMatchesJava(t *testing.T) {
	want, err := base64.StdEncoding.DecodeString(javaSealed)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if found, intact := CheckSeal(want, &m); !found || !intact {
		t.Fatalf("Java's seal: found %t, intact %t", found, intact)
	}
	plain := WithoutSeal(m.Properties)
	if len(plain) != len(m.Properties)-SealSize {
		t.Fatalf("properties without the seal: %q", plain)
	}
	m.Properties = AppendUnsealed(nil, plain)
	rec := Append(nil, &m)
	Seal(rec)
	if !bytes.Equal(rec, want) {
		t.Errorf("sealed\n%q, want\n%q", rec, want)
	}
	for i := 8; i < len(rec)-SealSize; i++ {
		rec[i] ^= 1
		if d, _, err := Decode(rec); err == nil {
			if found, intact := CheckSeal(rec, &d); found && intact {
				t.Errorf("byte %d is another, and the seal agrees", i)
			}
		}
		rec[i] ^= 1
	}
}

func TestForeignSeals(t *testing.T) {
	const seal = "__CRC32#\x010416135221\x02"
	for _, c := range []struct{ in, without, unsealed string }{
		{"", "", ""},
		{seal, "", ""},
		{"a\x01b", "a\x01b", "a\x01b\x02"},
		{"a\x01b\x02" + seal, "a\x01b\x02", "a\x01b\x02"},
		{seal + seal, "", ""},
		{seal + "a\x01b\x02", seal + "a\x01b\x02", "a\x01b\x02"},
		{"a\x01" + seal, "a\x01" + seal, "a\x01" + seal}, // a value that looks like one
		{"__CRC32#\x011\x02c\x01d", "__CRC32#\x011\x02c\x01d", "c\x01d\x02"},
	} {
		if got := string(WithoutSeal([]byte(c.in))); got != c.without {
			t.Errorf("WithoutSeal(%q) is %q, want %q", c.in, got, c.without)
		}
		if got := string(AppendUnsealed(nil, []byte(c.in))); got != c.unsealed+"__CRC32#\x010000000000\x02" {
			t.Errorf("AppendUnsealed(%q) is %q", c.in, got)
		}
	}
}

func FuzzSeal(f *testing.F) {
	f.Add([]byte("body"), []byte("a\x01b"))
	f.Add([]byte(""), []byte("__CRC32#\x010416135221\x02"))
	f.Fuzz(func(t *testing.T, body, properties []byte) {
		if len(properties) > MaxProperties-SealSize-1 {
			return
		}
		m := sample()
		m.Body, m.Properties = body, AppendUnsealed(nil, properties)
		rec := Append(nil, &m)
		Seal(rec)
		m, _, err := Decode(rec)
		if err != nil {
			t.Fatal(err)
		}
		if found, intact := CheckSeal(rec, &m); !found || !intact {
			t.Fatalf("found %t, intact %t in %q", found, intact, rec)
		}
		if found, _ := CheckSeal(rec[:len(rec)-SealSize], &Message{Properties: WithoutSeal(m.Properties)}); found {
			t.Fatalf("a seal is left of %q", m.Properties)
		}
	})
}
