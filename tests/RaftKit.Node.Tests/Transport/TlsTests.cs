using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class TlsTests
{
    [Fact]
    public async Task Members_whose_certificates_come_from_the_same_authority_link()
    {
        using var authority = Authority("RaftKit test authority");
        var (one, two) = await TestMember.LinkedPair(Options(authority, Issue(authority, "member")));
        await using var _ = one;
        await using var __ = two;
        await LinkTests.Exchange(one, two);
        two.Send(one.Id, new PeerMessage.Channel(1, Samples.Bytes(3_000_000)));
        await one.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.Channel { Payload.Length: 3_000_000 });
        await two.Transport.StopAsync("done");
        Assert.True((await one.Inbox.Expect<NodeInput.LinkDown>()).Goodbye);
    }

    [Fact]
    public async Task A_certificate_of_another_authority_does_not_link()
    {
        using var authority = Authority("RaftKit test authority");
        using var other = Authority("Somebody else");
        await using var one = new TestMember(1, Options(authority, Issue(authority, "one")));
        await using var two = new TestMember(2, Options(authority, Issue(other, "two")));
        one.Join(two);
        two.Join(one);
        // One trusts no certificate of the other authority, whichever side dials.
        await LinkTests.Logged(one, "rejected by the provided RemoteCertificateValidationCallback");
        Assert.Empty(one.Inbox.All);
        Assert.Empty(two.Inbox.All);
    }

    [Fact]
    public async Task Plain_text_does_not_link_with_TLS()
    {
        using var authority = Authority("RaftKit test authority");
        await using var one = new TestMember(1, Options(authority, Issue(authority, "one")));
        one.Join((new(2), "127.0.0.1:1"));
        using var plain = await RawPeer.Dial(one);
        plain.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, RawPeer.HelloOf(2)));
        await LinkTests.Logged(one, "was closed during its handshake");
        Assert.Empty(one.Inbox.All);
    }

    [Fact]
    public async Task A_listener_with_TLS_may_leave_loopback()
    {
        using var authority = Authority("RaftKit test authority");
        await using var one = new TestMember(1, Options(authority, Issue(authority, "one")) with { Listen = "0.0.0.0:0" });
        Assert.StartsWith("0.0.0.0:", one.Endpoint);
    }

    [Fact]
    public async Task The_validation_callback_decides_alone_when_it_is_given()
    {
        using var authority = Authority("RaftKit test authority");
        using var certificate = Issue(authority, "member");
        var seen = 0;
        var (one, two) = await TestMember.LinkedPair(TestMember.Options() with
        {
            Security = new TransportSecurity
            {
                Certificate = () => certificate,
                Validate = (_, shown, _, _) =>
                {
                    Interlocked.Increment(ref seen);
                    return shown?.GetCertHashString() == certificate.GetCertHashString();
                },
            },
        });
        await using var _ = one;
        await using var __ = two;
        Assert.True(seen >= 2, "both sides check the other's certificate");
    }

    private static TcpTransportOptions Options(X509Certificate2 authority, X509Certificate2 certificate) => TestMember.Options() with
    {
        Security = new TransportSecurity { Certificate = () => certificate, Roots = [authority], CheckHostName = false },
    };

    private static X509Certificate2 Authority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(200));
    }

    private static X509Certificate2 Issue(X509Certificate2 authority, string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(
            new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], false));
        using var signed = request.Create(
            authority, DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100), RandomNumberGenerator.GetBytes(8));
        return signed.CopyWithPrivateKey(key);
    }
}
