using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Keeps the directory's identity: who it belongs to, and how often it was started. Written aside, fsynced, renamed, and the directory
/// fsynced, so that it is always one whole version or another.
/// </summary>
internal static class IdentityFile
{
    private const string Name = "identity";
    private const string AsideName = "identity.tmp";
    private const int FormatVersion = 1;
    private const int MostBytes = 1 << 16;

    /// <summary>The identity; null in a directory that has none.</summary>
    /// <exception cref="LogCorruptException">It cannot be read.</exception>
    public static DirectoryIdentity? Read(ILogDirectory directory)
    {
        if (!directory.Exists(Name))
            return null;
        using var file = directory.Open(Name);
        try
        {
            if (file.Length > MostBytes)
                throw new MessagePackSerializationException($"it has {file.Length} bytes");
            var bytes = new byte[file.Length];
            var read = file.Read(0, bytes);
            var reader = new MessagePackReader(bytes.AsMemory(0, read));
            reader.ReadArrayHeader(2);
            var body = reader.ReadBytesMemory();
            if (Crc32C.Of(body.Span) != reader.ReadUInt32() || !reader.End)
                throw new MessagePackSerializationException("checksum mismatch");
            return Decode(new MessagePackReader(body));
        }
        catch (MessagePackSerializationException wrong)
        {
            throw new LogCorruptException(
                $"The identity in {directory.Location} cannot be read: {wrong.Message}. Nothing was changed. Without it nobody can tell whose votes "
                + "this log holds: empty the directory and let the member join anew.");
        }
    }

    /// <summary>Makes this the identity, durably.</summary>
    public static void Write(ILogDirectory directory, DirectoryIdentity identity)
    {
        var body = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(body);
        writer.WriteArrayHeader(6);
        writer.Write(FormatVersion);
        writer.Write(identity.Member.Value);
        writer.Write(identity.Incarnation);
        writer.Write(identity.Boot);
        writer.Write(identity.ClusterId.ToByteArray(bigEndian: true));
        writer.WriteArrayHeader(identity.Founders.Count);
        foreach (var founder in identity.Founders)
            writer.Write(founder.Value);
        writer.Flush();

        var record = new ArrayBufferWriter<byte>();
        writer = new MessagePackWriter(record);
        writer.WriteArrayHeader(2);
        writer.Write(body.WrittenSpan);
        writer.Write(Crc32C.Of(body.WrittenSpan));
        writer.Flush();

        if (directory.Exists(AsideName))
            directory.Delete(AsideName);
        using (var file = directory.Create(AsideName, 0))
        {
            file.Write(0, record.WrittenSpan);
            file.Sync();
        }
        directory.Rename(AsideName, Name);
        directory.Sync();
    }

    /// <summary>
    /// Opens the directory for one more start of its member: checks that it is the member's, and counts the start, durably, before anything
    /// else is done, so that others can tell an older copy of this disk by its older number.
    /// </summary>
    /// <param name="directory">The directory, locked.</param>
    /// <param name="member">Who starts here.</param>
    /// <param name="clusterId">The cluster that the caller expects; null when it takes what it finds.</param>
    /// <param name="founders">The members that a new cluster would be formed of; kept in a new directory only.</param>
    /// <exception cref="DirectoryMismatchException">The directory is another member's or cluster's.</exception>
    public static DirectoryIdentity Open(ILogDirectory directory, MemberId member, Guid? clusterId = null, IReadOnlyList<MemberId>? founders = null)
    {
        var found = Read(directory);
        if (found is null)
        {
            found = new DirectoryIdentity(member, 0, 0, Guid.Empty, founders ?? []);
        }
        else if (found.Member != member)
        {
            throw new DirectoryMismatchException(
                $"{directory.Location} belongs to member {found.Member}, but member {member} was to start in it. "
                + $"Start member {found.Member}, or give member {member} its own directory.");
        }
        else if (clusterId is { } expected && expected != Guid.Empty && found.ClusterId != Guid.Empty && found.ClusterId != expected)
        {
            throw new DirectoryMismatchException(
                $"{directory.Location} belongs to cluster {found.ClusterId}, but a member of cluster {expected} was to start in it. "
                + "Check the configured directory.");
        }

        var started = found with { Boot = found.Boot + 1 };
        Write(directory, started);
        return started;
    }

    private static DirectoryIdentity Decode(MessagePackReader reader)
    {
        reader.ReadArrayHeader(6);
        var version = reader.ReadInt32();
        if (version != FormatVersion)
            throw new MessagePackSerializationException($"format {version}, of which this version knows only {FormatVersion}");
        var member = new MemberId(reader.ReadInt32());
        var incarnation = reader.ReadInt32();
        var boot = reader.ReadInt64();
        var cluster = reader.ReadBytesMemory();
        if (cluster.Length != 16)
            throw new MessagePackSerializationException($"a cluster id of {cluster.Length} bytes");
        var founders = new MemberId[reader.ReadArrayHeader()];
        for (var i = 0; i < founders.Length; i++)
            founders[i] = new MemberId(reader.ReadInt32());
        return new DirectoryIdentity(member, incarnation, boot, new Guid(cluster.Span, bigEndian: true), founders);
    }
}
