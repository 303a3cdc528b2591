using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using RaftKit.Hosting;
using RaftKit.Tests.Fakes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>Options come from configuration and code, and are refused with the key, the value and the mend.</summary>
public sealed class OptionsTests
{
    [Fact]
    public void Nothing_has_to_be_set() => Assert.Empty(Errors(_ => { }));

    [Theory]
    [InlineData("RaftKit:Member is 0. Give a number from 1 to 255")]
    [InlineData("RaftKit:Member is 256. Give a number from 1 to 255, another on every member; or set RaftKit:Role to Observer")]
    [InlineData("RaftKit:Members does not have member 9, which RaftKit:Member says this is (it has 1, 2, 3). Add it")]
    [InlineData("RaftKit:Members has the key 'one'. Use the member's number")]
    [InlineData("RaftKit:Members:02 names member 2 a second time")]
    [InlineData("RaftKit:Members:2 is 'nowhere'. Give a host and a port, such as '10.0.0.1:7420'")]
    [InlineData("RaftKit:Members:2 is '::1:7420'. Give a host and a port")]
    [InlineData("RaftKit:Members:2 is '127.0.0.1:0'. Give a port other than 0")]
    [InlineData("RaftKit:Members:3 is '127.0.0.1:7421', and so is RaftKit:Members:2")]
    [InlineData("RaftKit:Listen is 'here'. Give an address and a port")]
    [InlineData("RaftKit:HeartbeatInterval is 1 ms. Give at least 5 ms")]
    [InlineData(
        "RaftKit:ElectionTimeout is 50 ms, less than 3 times RaftKit:HeartbeatInterval (30 ms): a lost heartbeat would depose the leader. Give at least 90 ms")]
    [InlineData("RaftKit:LeaderLease is 10 ms. Give 0 for none, or at least 2 times RaftKit:HeartbeatInterval, 60 ms")]
    [InlineData("RaftKit:LeaderLease is 300 ms. Give 0 for none, or at least 2 times")]
    [InlineData("RaftKit:ClockDrift is 0.6. Give a fraction from 0 to 0.5")]
    [InlineData(
        "RaftKit:SessionTimeout is 500 ms, less than 4 times RaftKit:ElectionTimeout (200 ms): a failover would expire sessions. Give at least 800 ms")]
    [InlineData("RaftKit:SessionTimeout is 7200 s. Give at most 1 hour")]
    [InlineData("RaftKit:StopPatience is -1 ms. Give 0 to 10 minutes")]
    [InlineData("RaftKit:DataDirectory is empty. Name a folder on a local disk")]
    [InlineData("RaftKit:SnapshotEveryEntries is 0. Give at least 1000")]
    [InlineData("RaftKit:SnapshotEveryBytes is 5. Give at least 1048576")]
    [InlineData(
        "RaftKit:Members:1 is '10.0.0.1:7420', which other machines can reach, and there is no TLS. Set RaftKit:Tls, or RaftKit:AllowPlainText")]
    [InlineData("RaftKit:Listen is '*:7420', which other machines can reach, and there is no TLS")]
    [InlineData("RaftKit:Tls:CertificatePath is empty. Name the PEM file")]
    [InlineData("RaftKit:Tls:AuthorityPath is '/no/such/file', and there is no such file")]
    public void An_error_names_the_key_the_value_and_the_mend(string error) =>
        Assert.Contains(Errors(Wrong(error)), e => e.StartsWith(error, StringComparison.Ordinal));

    [Fact]
    public void An_observer_is_told_what_it_cannot_be_and_what_it_needs()
    {
        Assert.Empty(Errors(Observer));
        Assert.Contains(
            Errors(o => { Observer(o); o.Member = 2; }),
            e => e.StartsWith(
                "RaftKit:Member is 2, the number of a member that votes, and RaftKit:Role is Observer. Give the observer a number from 256 to 1255"));
        Assert.Contains(
            Errors(o => { Observer(o); o.Member = 1256; }), e =>
            e.StartsWith("RaftKit:Member is 1256. Give an observer a number from 256 to 1255"));
        Assert.Contains(
            Errors(o => { Observer(o); o.Members.Clear(); }), e =>
            e.StartsWith("RaftKit:Members is empty, and an observer has to know whom to ask"));
        Assert.Contains(
            Errors(o => { Observer(o); o.Members["1"] = "127.0.0.1:0"; }), e =>
            e.StartsWith("RaftKit:Members has the endpoint '127.0.0.1:0', and an observer has to know the port"));
        Assert.Contains(
            Errors(o => { Observer(o); o.Listen = "127.0.0.1:7420"; }), e =>
            e.StartsWith("RaftKit:Listen is '127.0.0.1:7420', but an observer listens nowhere"));
        Assert.Contains(
            Errors(o => { Observer(o); o.ForceBootstrap = true; }), e =>
            e.StartsWith("RaftKit:ForceBootstrap is true, but an observer forms no cluster"));
        Assert.Contains(Errors(o => o.Role = (QuorumRole)7), e => e.StartsWith("RaftKit:Role is 7. Give Member or Observer"));

        static void Observer(RaftKitOptions options)
        {
            options.Role = QuorumRole.Observer;
            options.Member = 256;
            options.Members["1"] = "10.0.0.1:7420";
        }
    }

    [Fact]
    public void Who_joins_has_somebody_to_ask_and_forms_nothing()
    {
        Assert.Empty(Errors(Joining));
        Assert.Contains(
            Errors(o => { Joining(o); o.ForceBootstrap = true; }), e =>
            e.StartsWith("RaftKit:Join and RaftKit:ForceBootstrap are both true"));
        Assert.Contains(
            Errors(o => o.Join = true), e => e.StartsWith("RaftKit:Join is true, and RaftKit:Members names nobody else. Add the endpoint"));

        Assert.Empty(Errors(o => { Joining(o); (o.Join, o.AutoJoin) = (false, true); }));
        Assert.Contains(
            Errors(o => { Joining(o); (o.AutoJoin, o.ForceBootstrap) = (true, true); }), e =>
            e.StartsWith("RaftKit:AutoJoin and RaftKit:ForceBootstrap are both true"));
        Assert.Contains(
            Errors(o => o.AutoJoin = true), e =>
            e.StartsWith("RaftKit:AutoJoin is true, and RaftKit:Members names nobody else. Add the endpoint"));
        Assert.Contains(
            Errors(o =>
            {
                (o.AutoJoin, o.Role, o.Member) = (true, QuorumRole.Observer, 300);
                o.Members["1"] = "127.0.0.1:7420";
            }), e => e.StartsWith("RaftKit:AutoJoin is true, and RaftKit:Role is Observer"));

        static void Joining(RaftKitOptions options)
        {
            options.Join = true;
            options.Member = 4;
            options.Members["1"] = "127.0.0.1:7420";
            options.Members["4"] = "127.0.0.1:7421";
        }
    }

    [Fact]
    public void A_heartbeat_that_is_too_long_hides_no_other_mistake()
    {
        var errors = Errors(
            o => (o.HeartbeatInterval, o.ElectionTimeout, o.LeaderLease) =
            (TimeSpan.MaxValue, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(90)));

        Assert.Contains(
            errors, e => e.StartsWith("RaftKit:HeartbeatInterval is")
            && e.EndsWith("Give at most 100 s, a third of the longest RaftKit:ElectionTimeout."));
        Assert.Contains(errors, e => e.StartsWith("RaftKit:ElectionTimeout is 1 ms. Give at least 15 ms"));
    }

    [Fact]
    public async Task A_data_directory_that_cannot_be_one_is_named_with_the_mend()
    {
        var folder = Directory.CreateTempSubdirectory("raftkit-data-");
        try
        {
            var file = Path.Combine(folder.FullName, "file");
            await File.WriteAllTextAsync(file, "");
            var taken = Path.Combine(folder.FullName, "taken");
            Directory.CreateDirectory(Path.Combine(taken, "lock"));
            var below = Path.Combine(file, "raft");

            Assert.Equal(
                $"DataDirectory is '{file}', which is a file. Name a folder on a local disk that this process may write to.",
                await Refusal(file));
            // Nothing can be made there, not by root either.
            Assert.StartsWith("DataDirectory is '/proc', and this process cannot write to it: ", await Refusal("/proc"));
            Assert.StartsWith($"There is no directory {below}, and none can be made there: {file} is a file. Make it, ", await Refusal(below));
            Assert.StartsWith($"{taken} holds lock: a directory where a member has a file. ", await Refusal(taken));
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        static async Task<string> Refusal(string directory)
        {
            var member = new ClusterMember(
                new RaftKitOptions(), directory, [], TimeProvider.System,
                Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);
            return (await Assert.ThrowsAnyAsync<IOException>(() => member.StartAsync(CancellationToken.None))).Message;
        }
    }

    [Fact]
    public void Everything_that_is_wrong_is_told_at_once() => Assert.Equal(3, Errors(o =>
    {
        o.Member = 0;
        o.DataDirectory = "";
        o.SnapshotEveryBytes = 1;
    }).Count);

    [Theory]
    [InlineData("127.0.0.1:7420")]
    [InlineData("localhost:7420")]
    [InlineData("[::1]:7420")]
    public void Loopback_needs_no_permission(string endpoint) => Assert.Empty(Errors(o => o.Members["1"] = endpoint));

    [Fact]
    public void Plain_text_off_loopback_is_possible_when_it_is_asked_for() => Assert.Empty(Errors(o =>
    {
        o.Members["1"] = "10.0.0.1:7420";
        o.AllowPlainText = true;
    }));

    [Fact]
    public async Task Configuration_is_bound_and_code_has_the_last_word()
    {
        await using var services = Services(
            services => services.AddRaftKit(o => o.SessionTimeout = TimeSpan.FromSeconds(9)),
            ("RaftKit:Member", "2"), ("RaftKit:Members:1", "127.0.0.1:7421"), ("RaftKit:Members:2", "127.0.0.1:7422"),
            ("RaftKit:SessionTimeout", "00:00:03"), ("RaftKit:ElectionTimeout", "00:00:00.300"), ("RaftKit:DataDirectory", "/data/two"));

        var options = services.GetRequiredService<IOptions<RaftKitOptions>>().Value;

        Assert.Equal(2, options.Member);
        Assert.Equal("127.0.0.1:7422", options.Members["2"]);
        Assert.Equal(TimeSpan.FromMilliseconds(300), options.ElectionTimeout);
        Assert.Equal(TimeSpan.FromSeconds(9), options.SessionTimeout);
        Assert.Equal("/data/two", options.DataDirectory);
    }

    [Fact]
    public async Task Options_may_depend_on_other_services()
    {
        await using var services = Services(services =>
        {
            services.AddSingleton("/data/three");
            services.AddRaftKit((sp, o) => o.DataDirectory = sp.GetRequiredService<string>());
        });
        Assert.Equal("/data/three", services.GetRequiredService<IOptions<RaftKitOptions>>().Value.DataDirectory);
    }

    [Fact]
    public async Task Another_section_can_be_given()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection([new("Quorum:Member", "7")]).Build();
        await using var services = Services(services => services.AddRaftKit(configuration.GetSection("Quorum")));
        Assert.Equal(7, services.GetRequiredService<IOptions<RaftKitOptions>>().Value.Member);
    }

    [Fact]
    public async Task A_cluster_with_a_key_has_a_section_and_a_folder_of_its_own()
    {
        await using var services = Services(
            services =>
            {
                services.AddRaftKit();
                services.AddKeyedRaftKit("audit");
            },
            ("RaftKit:audit:Member", "5"));
        var options = services.GetRequiredService<IOptionsMonitor<RaftKitOptions>>();

        Assert.Equal((1, "raftkit-data"), (options.CurrentValue.Member, options.CurrentValue.DataDirectory));
        Assert.Equal((5, "raftkit-data-audit"), (options.Get("audit").Member, options.Get("audit").DataDirectory));
    }

    [Fact]
    public async Task A_host_with_wrong_options_does_not_start()
    {
        var member = new FakeMember();
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton<IClusterMemberFactory>(member);
        builder.Services.AddRaftKit(o => o.Member = 300);
        using var host = builder.Build();

        var e = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync());

        Assert.Contains("RaftKit:Member is 300", e.Message);
        Assert.Empty(member.Events);
    }

    private static List<string> Errors(Action<RaftKitOptions> set)
    {
        var options = new RaftKitOptions();
        set(options);
        return [.. new RaftKitOptionsValidator(Options.DefaultName, "RaftKit").Validate(Options.DefaultName, options).Failures ?? []];
    }

    // What to set wrong is read off the error that is expected: "RaftKit:Key is 'value'..." and a few that concern several keys.
    private static Action<RaftKitOptions> Wrong(string error) => options =>
    {
        if (error.Contains("Members:") || error.Contains("Members "))
        {
            for (var member = 1; member <= 3; member++)
                options.Members[$"{member}"] = $"127.0.0.1:742{member}";
        }

        switch (error.Split(' ')[0], error.Split(" is ").ElementAtOrDefault(1)?.Split(['.', ',']) [0])
        {
            case ("RaftKit:Member", var value):
                options.Member = int.Parse(value!);
                break;
            case ("RaftKit:Members", _) when error.Contains("'one'"):
                options.Members["one"] = "127.0.0.1:7429";
                break;
            case ("RaftKit:Members", _):
                options.Member = 9;
                break;
            case ("RaftKit:Members:02", _):
                options.Members["02"] = "127.0.0.1:7429";
                break;
            case ("RaftKit:LeaderLease", var value):
                options.LeaderLease = TimeSpan.FromMilliseconds(int.Parse(value!.Split(' ')[0]));
                break;
            case ("RaftKit:ClockDrift", _):
                options.ClockDrift = 0.6;
                break;
            case ("RaftKit:Members:1", _):
                options.Members["1"] = "10.0.0.1:7420";
                break;
            case ("RaftKit:Members:2", _):
                options.Members["2"] = error.Split('\'')[1];
                break;
            case ("RaftKit:Members:3", _):
                options.Members["2"] = options.Members["3"] = "127.0.0.1:7421";
                options.Members["1"] = "127.0.0.1:7429";
                break;
            case ("RaftKit:Listen", _):
                options.Listen = error.Split('\'')[1];
                break;
            case ("RaftKit:HeartbeatInterval", _):
                options.HeartbeatInterval = TimeSpan.FromMilliseconds(1);
                break;
            case ("RaftKit:ElectionTimeout", _):
                options.ElectionTimeout = TimeSpan.FromMilliseconds(50);
                break;
            case ("RaftKit:SessionTimeout", var value):
                options.SessionTimeout = value == "7200 s" ? TimeSpan.FromHours(2) : TimeSpan.FromMilliseconds(500);
                break;
            case ("RaftKit:StopPatience", _):
                options.StopPatience = TimeSpan.FromMilliseconds(-1);
                break;
            case ("RaftKit:DataDirectory", _):
                options.DataDirectory = " ";
                break;
            case ("RaftKit:SnapshotEveryEntries", _):
                options.SnapshotEveryEntries = 0;
                break;
            case ("RaftKit:SnapshotEveryBytes", _):
                options.SnapshotEveryBytes = 5;
                break;
            case ("RaftKit:Tls:CertificatePath", _):
                options.Tls = new RaftKitTlsOptions();
                break;
            case ("RaftKit:Tls:AuthorityPath", _):
                options.Tls = new RaftKitTlsOptions { AuthorityPath = "/no/such/file" };
                break;
            default:
                throw new ArgumentException($"No way to make '{error}'.");
        }
    };

    private static ServiceProvider Services(Action<IServiceCollection> add, params (string Key, string Value)[] configuration)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(
            new ConfigurationBuilder().AddInMemoryCollection(
                configuration.Select(c => KeyValuePair.Create(c.Key, (string?)c.Value))).Build());
        add(services);
        return services.BuildServiceProvider();
    }
}
