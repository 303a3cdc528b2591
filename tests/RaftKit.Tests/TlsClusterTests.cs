using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using RaftKit.Recipes;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>
/// Three hosts on loopback whose members speak TLS, each with a certificate of one authority, through the options that users set.
/// </summary>
public sealed class TlsClusterTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<int, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => i, _ => $"127.0.0.1:{Loopback.FreePort()}");
    private readonly X509Certificate2 _authority = Authority("RaftKit test authority");

    public TlsClusterTests() => File.WriteAllText(AuthorityPath, _authority.ExportCertificatePem());

    private string AuthorityPath => Path.Combine(_folder.Path, "authority.pem");

    public void Dispose()
    {
        _authority.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task Three_members_form_a_quorum_over_TLS_that_survives_the_leaders_stop()
    {
        var hosts = new List<IHost>();
        for (var i = 1; i <= 3; i++)
            hosts.Add(Build(i, Issue(_authority, i)));
        await Task.WhenAll(hosts.Select(h => h.StartAsync())).WaitAsync(Patience);
        await hosts[0].Services.GetRequiredService<IZnodeSession>().CreateAsync("/secret", Encoding.UTF8.GetBytes("kept")).WaitAsync(
            Patience);

        var leader = hosts.Single(
            h => h.Services.GetRequiredService<IQuorumMember>().Status is { Ready: true, Role: Consensus.RaftRole.Leader });
        await leader.StopAsync().WaitAsync(Patience);

        foreach (var host in hosts.Where(h => h != leader))
        {
            var session = host.Services.GetRequiredService<IZnodeSession>();
            await session.SyncAsync().WaitAsync(Patience);
            Assert.Equal("kept", Encoding.UTF8.GetString((await session.GetAsync("/secret").WaitAsync(Patience))!.Data.Span));
        }
        await using (var leadership = await hosts.First(
            h => h != leader).Services.GetRequiredService<LeaderElection>().WaitForLeadershipAsync().WaitAsync(Patience))
            Assert.True(leadership.IsHeld);
        await Task.WhenAll(hosts.Where(h => h != leader).Select(h => h.StopAsync())).WaitAsync(Patience);
        foreach (var host in hosts)
            host.Dispose();
    }

    [Fact]
    public async Task A_member_with_another_authoritys_certificate_is_no_part_of_the_quorum()
    {
        using var stranger = Authority("Somebody else");
        using var one = Build(1, Issue(_authority, 1));
        using var two = Build(2, Issue(_authority, 2));
        using var three = Build(3, Issue(stranger, 3));
        await Task.WhenAll(one.StartAsync(), two.StartAsync(), three.StartAsync()).WaitAsync(Patience);

        // A first start waits for every configured member: none forms a cluster that the third cannot see, and the third none of its own.
        using var wait = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        var sync = one.Services.GetRequiredService<IZnodeSession>().SyncAsync(wait.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sync.WaitAsync(Patience));

        Assert.All(new[] { one, two, three }, host =>
            Assert.NotEqual(true, host.Services.GetRequiredService<IQuorumMember>().Status?.Ready));
        await Task.WhenAll(one.StopAsync(), two.StopAsync(), three.StopAsync()).WaitAsync(Patience);
    }

    private IHost Build(int member, string certificatePath)
    {
        var builder = Host.CreateEmptyApplicationBuilder(
            new HostApplicationBuilderSettings { ContentRootPath = Path.Combine(_folder.Path) });
        builder.Services.AddRaftKit(options =>
        {
            options.Member = member;
            foreach (var (id, endpoint) in _endpoints)
                options.Members[$"{id}"] = endpoint;
            options.DataDirectory = $"data-{member}";
            // The certificates name the address that is dialled.
            options.Tls = new RaftKitTlsOptions { CertificatePath = certificatePath, AuthorityPath = AuthorityPath, CheckHostName = true };
        }).AddLeaderElection("/elections/scheduler");
        return builder.Build();
    }

    private string Issue(X509Certificate2 authority, int member)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN=member {member}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(
            new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var signed = request.Create(
            authority, DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100), RandomNumberGenerator.GetBytes(8));
        var path = Path.Combine(_folder.Path, $"member-{member}.pem");
        File.WriteAllText(path, signed.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem());
        return path;
    }

    private static X509Certificate2 Authority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(200));
    }
}
