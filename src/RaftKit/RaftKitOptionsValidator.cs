using System.Globalization;
using Microsoft.Extensions.Options;
using RaftKit.Consensus;

namespace RaftKit;

/// <summary>Checks the options of one cluster together, and reports everything that is wrong with them at once.</summary>
internal sealed class RaftKitOptionsValidator(string cluster, string section) : IValidateOptions<RaftKitOptions>
{
    public const int GreatestMember = MemberId.GreatestMember;
    private static readonly TimeSpan LongestElection = TimeSpan.FromMinutes(5);

    public ValidateOptionsResult Validate(string? name, RaftKitOptions options)
    {
        if (name is not null && name != cluster)
            return ValidateOptionsResult.Skip;
        var errors = new List<string>();
        CheckMembers(options, errors);
        CheckTimes(options, errors);
        CheckStorage(options, errors);
        CheckSecurity(options, errors);
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private void CheckMembers(RaftKitOptions options, List<string> errors)
    {
        if (options.Role == QuorumRole.Observer)
            CheckObserver(options, errors);
        else if (options.Role != QuorumRole.Member)
            errors.Add($"{section}:Role is {options.Role}. Give {nameof(QuorumRole.Member)} or {nameof(QuorumRole.Observer)}.");
        else if (options.Member is > GreatestMember and <= MemberId.GreatestObserver)
        {
            errors.Add($"{section}:Member is {options.Member}. Give a number from 1 to {GreatestMember}, another on every member; " +
                $"or set {section}:Role to {nameof(QuorumRole.Observer)}, whose numbers these are.");
        }
        else if (options.Member is < 1 or > GreatestMember)
            errors.Add($"{section}:Member is {options.Member}. Give a number from 1 to {GreatestMember}, another on every member.");

        var listed = new Dictionary<int, string>();
        var endpoints = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (key, endpoint) in options.Members)
        {
            if (!int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var member) || member is < 1 or > GreatestMember)
                errors.Add($"{section}:Members has the key '{key}'. Use the member's number, from 1 to {GreatestMember}.");
            else if (!listed.TryAdd(member, endpoint))
                errors.Add($"{section}:Members:{key} names member {member} a second time. Keep one of them.");

            if (!Endpoint.TryParse(endpoint, out var parsed))
                errors.Add($"{section}:Members:{key} is '{endpoint}'. Give a host and a port, such as '10.0.0.1:7420' or '[::1]:7420'.");
            else if (parsed.Port == 0 && options.Members.Count > 1)
                errors.Add($"{section}:Members:{key} is '{endpoint}'. Give a port other than 0: the other members have to know it.");
            else if (parsed.Port != 0 && !endpoints.TryAdd(endpoint, key))
                errors.Add($"{section}:Members:{key} is '{endpoint}', and so is {section}:Members:{endpoints[endpoint]}. Give each member an endpoint of its own.");
        }

        if (options.Role == QuorumRole.Member && options.Members.Count > 0 && options.Member is >= 1 and <= GreatestMember
            && !listed.ContainsKey(options.Member))
        {
            errors.Add($"{section}:Members does not have member {options.Member}, which {section}:Member says this is (it has " +
                $"{string.Join(", ", options.Members.Keys)}). Add it, or correct {section}:Member.");
        }

        var join = options.AutoJoin ? nameof(options.AutoJoin) : nameof(options.Join);
        if ((options.Join || options.AutoJoin) && options.ForceBootstrap)
            errors.Add($"{section}:{join} and {section}:ForceBootstrap are both true: a member joins a cluster that exists, or forms one. Keep one of them.");
        if ((options.Join || options.AutoJoin) && options.Role == QuorumRole.Member && options.Members.Count < 2)
            errors.Add($"{section}:{join} is true, and {section}:Members names nobody else. Add the endpoint of at least one member of the cluster.");
        if (options.AutoJoin && options.Role == QuorumRole.Observer)
            errors.Add($"{section}:AutoJoin is true, and {section}:Role is {nameof(QuorumRole.Observer)}: an observer needs nobody to add it, and never votes. Leave AutoJoin out, or let it be a member.");

        if (options.Listen is { } listen && !Endpoint.TryParse(listen, out _, anyHost: true))
            errors.Add($"{section}:Listen is '{listen}'. Give an address and a port, such as '*:7420' (every address), or leave it out to use the member's endpoint.");
    }

    private void CheckObserver(RaftKitOptions options, List<string> errors)
    {
        if (options.Member is >= 1 and <= GreatestMember)
        {
            errors.Add($"{section}:Member is {options.Member}, the number of a member that votes, and {section}:Role is {nameof(QuorumRole.Observer)}. " +
                $"Give the observer a number from {GreatestMember + 1} to {MemberId.GreatestObserver} that no other one has, or leave out {section}:Role.");
        }
        else if (options.Member is < 1 or > MemberId.GreatestObserver)
        {
            errors.Add($"{section}:Member is {options.Member}. Give an observer a number from {GreatestMember + 1} to {MemberId.GreatestObserver} that no other one has.");
        }

        if (options.Members.Count == 0)
            errors.Add($"{section}:Members is empty, and an observer has to know whom to ask. List members of the quorum and where they listen, such as '1' -> '10.0.0.1:7420'.");
        if (options.Members.Values.FirstOrDefault(e => Endpoint.TryParse(e, out var parsed) && parsed.Port == 0) is { } nowhere)
            errors.Add($"{section}:Members has the endpoint '{nowhere}', and an observer has to know the port. Give the one that the member listens on.");
        if (options.Listen is { } listen)
            errors.Add($"{section}:Listen is '{listen}', but an observer listens nowhere: it dials the members. Leave {section}:Listen out.");
        if (options.ForceBootstrap)
            errors.Add($"{section}:ForceBootstrap is true, but an observer forms no cluster. Set it on members only.");
    }

    private void CheckTimes(RaftKitOptions options, List<string> errors)
    {
        var shortest = TimeSpan.FromMilliseconds(5);
        var isBeatSound = options.HeartbeatInterval >= shortest && options.HeartbeatInterval <= LongestElection / 3;
        if (options.HeartbeatInterval < shortest)
            errors.Add($"{section}:HeartbeatInterval is {Text(options.HeartbeatInterval)}. Give at least {Text(shortest)}.");
        else if (!isBeatSound)
            errors.Add($"{section}:HeartbeatInterval is {Text(options.HeartbeatInterval)}. Give at most {Text(LongestElection / 3)}, a third of the longest {section}:ElectionTimeout.");
        if (!isBeatSound && options.ElectionTimeout < 3 * shortest)
            errors.Add($"{section}:ElectionTimeout is {Text(options.ElectionTimeout)}. Give at least {Text(3 * shortest)}, and 3 times {section}:HeartbeatInterval.");
        else if (isBeatSound && options.ElectionTimeout < 3 * options.HeartbeatInterval)
        {
            errors.Add($"{section}:ElectionTimeout is {Text(options.ElectionTimeout)}, less than 3 times {section}:HeartbeatInterval " +
                $"({Text(options.HeartbeatInterval)}): a lost heartbeat would depose the leader. Give at least {Text(3 * options.HeartbeatInterval)}.");
        }

        if (options.ElectionTimeout > LongestElection)
            errors.Add($"{section}:ElectionTimeout is {Text(options.ElectionTimeout)}. Give at most 5 minutes.");
        else if (options.SessionTimeout < 4 * options.ElectionTimeout)
        {
            errors.Add($"{section}:SessionTimeout is {Text(options.SessionTimeout)}, less than 4 times {section}:ElectionTimeout " +
                $"({Text(options.ElectionTimeout)}): a failover would expire sessions. Give at least {Text(4 * options.ElectionTimeout)}.");
        }

        if (isBeatSound && options.LeaderLease != TimeSpan.Zero
            && (options.LeaderLease < 2 * options.HeartbeatInterval || options.LeaderLease > options.ElectionTimeout))
        {
            errors.Add($"{section}:LeaderLease is {Text(options.LeaderLease)}. Give 0 for none, or at least 2 times {section}:HeartbeatInterval, " +
                $"{Text(2 * options.HeartbeatInterval)}, so that it does not run out between two heartbeats, and at most {section}:ElectionTimeout, {Text(options.ElectionTimeout)}.");
        }

        if (!(options.ClockDrift >= 0 && options.ClockDrift <= 0.5))
            errors.Add($"{section}:ClockDrift is {options.ClockDrift.ToString(CultureInfo.InvariantCulture)}. Give a fraction from 0 to 0.5, such as 0.01 for clocks that run true within 1 %.");

        if (options.SessionTimeout > TimeSpan.FromHours(1))
            errors.Add($"{section}:SessionTimeout is {Text(options.SessionTimeout)}. Give at most 1 hour.");
        if (options.StopPatience < TimeSpan.Zero || options.StopPatience > TimeSpan.FromMinutes(10))
            errors.Add($"{section}:StopPatience is {Text(options.StopPatience)}. Give 0 to 10 minutes.");
    }

    private void CheckStorage(RaftKitOptions options, List<string> errors)
    {
        if (string.IsNullOrWhiteSpace(options.DataDirectory))
            errors.Add($"{section}:DataDirectory is empty. Name a folder on a local disk, or leave it out for 'raftkit-data' under the content root.");
        if (options.SnapshotEveryEntries < 1_000)
            errors.Add($"{section}:SnapshotEveryEntries is {options.SnapshotEveryEntries}. Give at least 1000: a snapshot writes the whole state.");
        if (options.SnapshotEveryBytes < 1 << 20)
            errors.Add($"{section}:SnapshotEveryBytes is {options.SnapshotEveryBytes}. Give at least {1 << 20} (1 MiB): a snapshot writes the whole state.");
    }

    private void CheckSecurity(RaftKitOptions options, List<string> errors)
    {
        if (options.Tls is { } tls)
        {
            if (string.IsNullOrEmpty(tls.CertificatePath))
                errors.Add($"{section}:Tls:CertificatePath is empty. Name the PEM file of this member's certificate, or leave out {section}:Tls.");
            CheckFile(nameof(tls.CertificatePath), tls.CertificatePath, errors);
            CheckFile(nameof(tls.KeyPath), tls.KeyPath, errors);
            CheckFile(nameof(tls.AuthorityPath), tls.AuthorityPath, errors);
            return;
        }

        // An observer dials. What it reaches was allowed, or not, by the member that listens there.
        if (options.AllowPlainText || options.Role == QuorumRole.Observer)
            return;
        var key = options.Listen is null ? $"Members:{options.Member}" : "Listen";
        var value = options.ListenEndpoint;
        if (Endpoint.TryParse(value, out var endpoint, anyHost: true) && !endpoint.IsLoopback)
        {
            errors.Add($"{section}:{key} is '{value}', which other machines can reach, and there is no TLS. " +
                $"Set {section}:Tls, or {section}:AllowPlainText to true if the network is private, or listen on 127.0.0.1.");
        }
    }

    private void CheckFile(string key, string? path, List<string> errors)
    {
        if (!string.IsNullOrEmpty(path) && !File.Exists(path))
            errors.Add($"{section}:Tls:{key} is '{path}', and there is no such file. Give the path of a PEM file that this process may read.");
    }

    private static string Text(TimeSpan time) =>
        time.TotalMilliseconds < 10_000
            ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.###} ms")
            : string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###} s");
}
