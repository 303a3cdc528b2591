using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Log;
using RaftKit.Node.Rehearsal;
using RaftKit.Node.Tests.Transport;

namespace RaftKit.Fuzz.Targets;

/// <summary>The file that says whose a directory is: as it was written, or refused; never another member's.</summary>
internal sealed class IdentityTarget : FuzzTarget
{
    private readonly DirectoryIdentity _truth = new(new MemberId(3), 2, 70_000, Samples.Cluster, [new(1), new(2), new(3)])
    {
        RunEnds = new RunEnds([new RunEnd(7, 100), new RunEnd(8, 70_000)]), RolledBack = "batch 9 was on its disk",
    };

    private readonly byte[] _bytes;
    private FrozenDirectory _input = new();
    private bool _isSeen;

    public IdentityTarget()
    {
        var disk = new MemoryLogDirectory("memory");
        IdentityFile.Write(disk, _truth);
        _bytes = FrozenDirectory.Of(disk)[IdentityFile.Name];
    }

    public override string Name => "identities";

    public override string Describe() => Convert.ToHexString(_input[IdentityFile.Name]);

    public override long InputBytes => _input.Bytes;

    public override void Draw(Random random)
    {
        _isSeen = random.Next(2) == 0;
        _input = _input.With(IdentityFile.Name, _isSeen ? random.Next(16) == 0 ? _bytes : Mutator.Mutate(_bytes, random) : Forge(random));
    }

    public override string? Read()
    {
        try
        {
            var read = IdentityFile.Read(_input)!;
            return !_isSeen || (read with { Founders = _truth.Founders }) == _truth && read.Founders.SequenceEqual(_truth.Founders) ? null
                : throw new WrongAnswerException($"{read} is not what was written");
        }
        catch (Exception refused) when (refused is LogCorruptException or UnknownFormatException)
        {
            return refused.Message;
        }
    }

    // [body as bin 8, checksum as uint 32]
    private byte[] Forge(Random random)
    {
        var bytes = (byte[])_bytes.Clone();
        var body = bytes.AsSpan(3, bytes[2]);
        Mutator.MutateInPlace(body, random);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4 + body.Length), Crc32C.Of(body));
        return bytes;
    }
}
